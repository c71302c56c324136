import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vfm.cli.commands.extract import command
from vfm.cli.commands.inspect import command as inspect
from vfm.cli.commands.plan import command as plan
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

COLORS = ((200, 40, 40), (40, 180, 60), (40, 60, 200), (220, 210, 50))
NAMES = ("a/0.jpg", "a/1.PNG", "b/2.webp", "b/3.bmp")
TOLERANCE = 6  # levels: of two JPEGs


def picture(color: tuple[int, int, int]) -> Image.Image:
    """Return an image of 96 x 64 pixels: a colour, black in the right third."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :64] = color
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for name, color in zip(NAMES, COLORS, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(color).save(root / name, quality=100)
    return root


def extract(*arguments: object) -> Result:
    given = [*map(str, arguments), "--images"]
    given += [] if "--workers" in given else ["--workers", "1"]
    return CliRunner().invoke(command, given, catch_exceptions=False, standalone_mode=False)


def test_images_become_samples_of_one_frame(folder: Path, tmp_path: Path) -> None:
    assert extract(folder, tmp_path / "data", "--size", "32").return_value == 0
    dataset = open_dataset(tmp_path / "data")
    options = dataset.manifest.columns["frames"].options
    assert (options["images"], options["decoder"], options["size_px"]) == (True, "pillow", 32)
    assert dataset.num_frames.tolist() == [1] * 4
    metas = {dataset.meta(index).source: dataset.meta(index) for index in range(4)}
    assert sorted(metas) == sorted(NAMES)
    assert metas["b/2.webp"].labels == ("b",)
    assert (metas["b/2.webp"].codec, metas["b/2.webp"].container) == ("webp", "image")
    for index in range(4):
        meta = dataset.meta(index)
        assert (meta.width_px, meta.height_px, meta.source_width_px) == (48, 32, 96)
        (frame,) = dataset.frames(index, [0])
        color = COLORS[NAMES.index(meta.source)]
        assert np.abs(frame[4:28, 4:26].astype(int) - color).max() <= TOLERANCE
        assert frame[4:28, 38:].max() <= TOLERANCE


def test_of_videos_nothing_is_said_to_be_images(films: Callable[..., Path], tmp_path: Path) -> None:
    given = [str(films(1)), str(tmp_path / "data"), "--fps", "2", "--workers", "1"]
    CliRunner().invoke(command, given, catch_exceptions=False, standalone_mode=False)
    assert "images" not in open_dataset(tmp_path / "data").manifest.columns["frames"].options


def test_the_tars_are_the_same_bytes_for_any_number_of_workers(folder: Path, tmp_path: Path) -> None:
    for workers in ("1", "3"):
        extract(folder, tmp_path / workers, "--workers", workers, "--samples-per-shard", "3")
    found = [
        {path.name: path.read_bytes() for path in (tmp_path / workers / "frames").glob("*.tar")}
        for workers in ("1", "3")
    ]
    assert found[0] == found[1]
    assert sorted(found[0]) == ["000000.tar", "000001.tar"]
    assert "2 of 2 shards done before" in extract(folder, tmp_path / "1", "--samples-per-shard", "3").stderr


def test_every_bad_image_is_in_quarantine_with_its_reason(folder: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").rename(folder.parent / "whole.jpg").read_bytes()
    for name, data in {"cut": whole[: len(whole) * 2 // 3], "zero": b"", "text": b"<html>404</html>"}.items():
        (folder / "a" / f"{name}.jpg").write_bytes(data)
    Image.new("1", (9000, 9000)).save(folder / "a" / "bomb.png")
    done = extract(folder, tmp_path / "data", "--json")
    told = json.loads(done.stdout)
    assert (done.return_value, told["num_ok"], told["num_rejected"]) == (1, 4, 4)
    lines = (tmp_path / "data" / "quarantine.jsonl").read_text().splitlines()
    assert {each["source"]: each["reason"] for each in map(json.loads, lines)} == {
        "a/cut.jpg": "truncated", "a/zero.jpg": "empty", "a/text.jpg": "not_image", "a/bomb.png": "too_large",
    }  # fmt: skip
    assert {json.loads(line)["tool"] for line in lines} == {"pillow"}


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """Return a tar as img2dataset writes them: two images with captions, and one download that failed."""
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for number, caption in enumerate(("a dog", "slow run !", "gone")):
            members = {"txt": caption.encode(), "json": json.dumps({"caption": caption}).encode()}
            if caption == "gone":
                del members["txt"]
            else:
                image = io.BytesIO()
                picture(COLORS[number]).save(image, "JPEG", quality=100)
                members["jpg"] = image.getvalue()
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{number:09d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return tmp_path / "00000.tar"


def test_a_tar_of_img2dataset_is_learned_from(captioned: Path, tiny_vocabulary: Path, tmp_path: Path) -> None:
    done = extract(captioned, tmp_path / "data", "--size", "64")
    assert "as of downloads that failed, are left out: 1, " in done.stderr
    for spec in (f"text:{tiny_vocabulary}", "hog"):
        tokenize(tmp_path / "data", [spec], TargetOptions(), accept_data=True)
    dataset = open_dataset(tmp_path / "data", columns=("text.words", "hog"))
    captions = {dataset.meta(index).captions: index for index in range(len(dataset))}
    assert sorted(captions) == [("a dog",), ("slow run !",)]
    words = (tiny_vocabulary / "vocab.txt").read_text().split()
    for (caption,), index in captions.items():
        ids = dataset.array(index, "text.words", "ids")
        read = [words[number] for number in ids[0] if words[number] != "[PAD]"]
        assert read == ["[CLS]", *caption.split(), "[SEP]"]
        assert dataset.array(index, "hog", "hog").shape[:2] == (1, 1)


def test_inspect_says_that_they_are_images(folder: Path, tmp_path: Path) -> None:
    extract(folder, tmp_path / "data")
    runner = CliRunner()
    summary = runner.invoke(inspect, [str(tmp_path / "data"), "--verify"], standalone_mode=False)
    assert summary.stdout.splitlines()[:2] == ["4 images: 4 ok", "4 frames: 1 to 1 a sample, median 1"]
    one = runner.invoke(inspect, [str(tmp_path / "data"), "a/1.PNG"], standalone_mode=False)
    assert "image    96×64 px, png RGB in image" in " ".join(one.stdout.split("  ")).replace("   ", "    ")
    sheet = tmp_path / "sheet.png"
    runner.invoke(inspect, [str(tmp_path / "data"), "--sheet", str(sheet)], standalone_mode=False)
    shown = np.asarray(Image.open(sheet).convert("RGB")).astype(int)
    for color in COLORS:
        assert (np.abs(shown - color).max(-1) <= TOLERANCE).sum() > 1000


def test_a_plan_of_images_counts_their_frames(folder: Path) -> None:
    given = [str(folder), "--images", "--json", "--workers", "1"]
    done = CliRunner().invoke(plan, given, catch_exceptions=False, standalone_mode=False)
    told = json.loads(done.stdout)
    assert (told["num_sources"], told["num_frames"]["value"], told["video_s"]["value"]) == (4, 4, 0)


@pytest.mark.parametrize("kind", ["images", "videos"])
def test_a_dataset_holds_one_kind(
    folder: Path, films: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    extract(folder, tmp_path / "data")
    if kind == "images":
        videos = str(films(1))
        with pytest.raises(UsageError, match="was begun with other options"):
            CliRunner().invoke(
                command, [videos, str(tmp_path / "data"), "--fps", "2"], catch_exceptions=False,
                standalone_mode=False,
            )  # fmt: skip
    else:
        with pytest.raises(UsageError, match="holds no video, but 4 images: add --images"):
            CliRunner().invoke(
                command, [str(folder), str(tmp_path / "new"), "--fps", "2"], catch_exceptions=False,
                standalone_mode=False,
            )  # fmt: skip
