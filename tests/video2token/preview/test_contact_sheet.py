import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.stills import draw_still
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.preview.contact_sheet import Section, make_labelled_sheet, make_sheet
from vfm.video2token.preview.images import frames_picture, is_ours, stack, text_picture, to_png
from vfm.video2token.target import TargetOptions

Stills = Callable[..., Path]


@pytest.fixture
def coded(stills: Stills, tiny_codebook: Path) -> Path:
    data = stills()
    tokenize(data, [f"vq:{tiny_codebook}"], TargetOptions())
    return data


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_frames_stand_in_rows_of_eight() -> None:
    frames = np.arange(9, dtype=np.uint8).repeat(4 * 6 * 3).reshape(9, 4, 6, 3)
    picture = frames_picture(frames)
    assert picture.shape == (2 * (4 + 8), 8 * (6 + 4), 3)
    assert picture[0, 0, 0] == 0
    assert picture[0, 10, 0] == 1
    assert picture[12, 0, 0] == 8
    assert (picture[12, 10:] == 255).all()
    twice = frames_picture(frames, 100 + frames)
    assert twice.shape == (2 * (4 + 2 + 4 + 8), 80, 3)
    assert twice[6, 10, 0] == 101


def test_text_is_dark_on_white_whatever_it_says() -> None:
    picture = text_picture("naïve \x1b[31m 视频")
    assert (picture.min(), picture.max()) == (0, 255)
    assert picture.shape[0] == text_picture("a").shape[0]
    assert stack([picture, text_picture("a")]).shape == (2 * len(picture), picture.shape[1], 3)


def test_a_sheet_without_codes_shows_frames(stills: Stills, tmp_path: Path) -> None:
    make_sheet(stills(size=(128, 128)), tmp_path / "sheet.png")
    picture = pixels(tmp_path / "sheet.png")
    line = len(text_picture("a"))
    assert picture.shape[0] == line + 6 * (line + 128 + 8)
    first = picture[2 * line : 2 * line + 128, :128].astype(int)
    assert np.abs(first - draw_still(0, 0, size=(128, 128))).mean() < 3


def test_a_sheet_with_codes_shows_what_they_are_rebuilt_to(coded: Path, tmp_path: Path) -> None:
    make_sheet(coded, tmp_path / "sheet.png", keys=["still-000", "still-003"])
    picture = pixels(tmp_path / "sheet.png")
    line = len(text_picture("a"))
    assert picture.shape[0] == line + 2 * (line + 32 + 2 + 32 + 8)
    first = picture[2 * line : 2 * line + 32, :32].astype(int)
    assert np.abs(first - draw_still(0, 0)[:, 4:36]).mean() < 4
    below = picture[2 * line + 34 : 2 * line + 66, :32]
    assert below.std() > 0
    make_sheet(coded, tmp_path / "again.png", keys=["still-000", "still-003"], column="vq.tiny")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()


def test_a_sheet_of_several_views_shows_the_first_and_says_so(
    stills: Stills, tiny_codebook: Path, tmp_path: Path
) -> None:
    data = stills("several", size=(60, 40))
    tokenize(data, [f"vq:{tiny_codebook}"], TargetOptions(own={"views": "vimpac12"}))
    make_sheet(data, tmp_path / "twelve.png")
    one = stills("one", size=(60, 40))
    tokenize(one, [f"vq:{tiny_codebook}"], TargetOptions())
    make_sheet(one, tmp_path / "one.png")
    twelve, line = pixels(tmp_path / "twelve.png"), len(text_picture("a"))
    told = (
        "several: 6 samples; below each frame the codes of vq.tiny (16 codes, the first of 12 views) rebuilt"
    )
    title = text_picture(told)
    np.testing.assert_array_equal(twelve[:line, : title.shape[1]], title)
    below = pixels(tmp_path / "one.png")[line:]
    np.testing.assert_array_equal(twelve[line:, : below.shape[1]][:, :176], below[:, :176])


def test_a_column_that_is_not_complete_is_not_drawn(coded: Path, tmp_path: Path) -> None:
    (coded / "vq.tiny" / "000001.json").unlink()
    make_sheet(coded, tmp_path / "sheet.png", keys=["still-000"])
    line = len(text_picture("a"))
    assert pixels(tmp_path / "sheet.png").shape[0] == line + line + 128 + 8


def test_samples_come_from_all_over(stills: Stills, tmp_path: Path) -> None:
    data = stills(num_samples=30, samples_per_shard=30)
    make_sheet(data, tmp_path / "a.png", num_samples=3)
    make_sheet(data, tmp_path / "b.png", keys=["still-000", "still-014", "still-029"])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("out", ["sheet.jpg", "sheet", "no/such/folder/sheet.png", "folder.png"])
def test_a_place_that_cannot_hold_a_png_is_refused(stills: Stills, tmp_path: Path, out: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match=r"name a \.png file in a folder that exists"):
        make_sheet(stills(), tmp_path / out)


def test_what_is_not_there_is_refused(coded: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    with pytest.raises(UsageError, match=r"has no column vq\.other"):
        make_sheet(coded, out, column="vq.other")
    with pytest.raises(UsageError, match="holds no codes: name one that starts with vq"):
        make_sheet(coded, out, column="frames")
    with pytest.raises(UsageError, match="is not a vfm dataset"):
        make_sheet(tmp_path, out)
    assert not out.exists()


def test_another_codebook_in_the_column_is_found(coded: Path, stills: Stills, tmp_path: Path) -> None:
    from vfm.video2token.jobs.fit_codebook.fit_codebook import fit_codebook
    from vfm.video2token.jobs.fit_codebook.options import FitOptions

    options = FitOptions(name="tiny", crop_px=32, vocab_size=16, steps=1, seed=5)
    other = fit_codebook(open_dataset(coded), tmp_path / "other", options).codebook
    shutil.rmtree(coded / "vq.tiny" / "codebook")
    shutil.copytree(other, coded / "vq.tiny" / "codebook")
    with pytest.raises(DamageError, match="is not the codebook that vq.tiny was made with"):
        make_sheet(coded, tmp_path / "sheet.png")


def test_an_empty_dataset_is_refused(stills: Stills, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no sample to draw"):
        make_sheet(stills(num_samples=0, empty_shards=1), tmp_path / "sheet.png")


def test_a_sheet_under_lines_of_ones_own(stills: Stills, tmp_path: Path) -> None:
    data, out = stills(size=(128, 128)), tmp_path / "sheet.png"
    sections = [
        Section(title="a dog", keys=("still-003", "still-000"), labels=("1.  0.5  still-003", "2.  0.25")),
        Section(title="a cat", keys=("still-001",), labels=("1.",)),
    ]
    make_labelled_sheet(data, out, sections)
    picture, line = pixels(out), len(text_picture("a"))
    assert picture.shape[0] == 2 * line + 3 * (line + 128 + 8)
    top = 0
    for words, sample in [
        ("a dog", None),
        ("1.  0.5  still-003", 3),
        ("2.  0.25", 0),
        ("a cat", None),
        ("1.", 1),
    ]:
        told = text_picture(words)
        np.testing.assert_array_equal(picture[top : top + line, : told.shape[1]], told)
        top += line
        if sample is not None:
            first = picture[top : top + 128, :128].astype(int)
            assert np.abs(first - draw_still(sample, 0, size=(128, 128))).mean() < 3
            top += 128 + 8
    with pytest.raises(UsageError, match=r"name a \.png file in a folder that exists"):
        make_labelled_sheet(data, tmp_path / "sheet.jpg", sections)


def test_our_pictures_are_told_from_others(stills: Stills, tmp_path: Path) -> None:
    make_sheet(stills(), tmp_path / "ours.png")
    assert is_ours(tmp_path / "ours.png")
    Image.fromarray(pixels(tmp_path / "ours.png")).save(tmp_path / "other.png")
    np.testing.assert_array_equal(pixels(tmp_path / "other.png"), pixels(tmp_path / "ours.png"))
    (tmp_path / "text.png").write_text("Software vfm")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes(to_png(np.zeros((4, 4, 3), np.uint8))[:20])
    assert not any(is_ours(tmp_path / f"{name}.png") for name in ("other", "text", "empty", "cut", "absent"))
