import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vfm.cli.commands.plan import command as plan
from vfm.cli.commands.tokenize import command
from vfm.shards.columns.options import check_options
from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import make_column, read_manifest
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.reading.stored_frames import ShortSide, look_at, short_side
from vfm.video2token.jobs.enlargement import find_enlargement
from vfm.video2token.jobs.extract.extract import extract_sources
from vfm.video2token.jobs.fit_codebook.fit_codebook import fit_codebook
from vfm.video2token.jobs.fit_codebook.options import FitOptions
from vfm.video2token.options import IMAGE_DECODER, ExtractOptions
from vfm.video2token.sources.listing import ListOptions, list_sources
from vfm.video2token.target import TargetOptions
from vfm.video2token.targets import build_target
from vfm.video2token.tokenizers.codebook.codebook import load_codebook

Stills = Callable[..., Path]
STORED = (160, 128)


def run(data: Path, *arguments: object, target: str = "hog") -> Result:
    given = [str(data), "--target", target, *map(str, arguments), "--workers", "1"]
    return CliRunner().invoke(command, given, catch_exceptions=False)


def test_frames_smaller_than_the_target_needs_are_extracted_larger(stills: Stills) -> None:
    data = stills(size=STORED, source_size=(426, 320))
    before = (data / "dataset.json").read_bytes()
    with pytest.raises(UsageError) as refused:
        run(data)
    assert str(refused.value) == (
        f"Target hog is computed from frames of 224 px, and {data} has frames of 128 px, which would be "
        "enlarged 1.75 times: extract again with `vfm extract VIDEOS NEW_DATA --fps 2 --size 224`, "
        "or go on with --accept-data."
    )
    assert (data / "dataset.json").read_bytes() == before
    assert not (data / "hog").exists()


def test_a_view_that_is_larger_than_the_square_needs_larger_frames(
    stills: Stills, tiny_codebook: Path
) -> None:
    """VIMPAC's views of 32 px are cut from frames of 40 px, too."""
    target, views = f"vq:{tiny_codebook}", ("--views", "vimpac12", "--crop", 32)
    data = stills(size=(52, 39), source_size=(400, 300))
    with pytest.raises(UsageError, match=r"from frames of 40 px, .* frames of 39 px.*--fps 2 --size 40`"):
        run(data, *views, target=target)
    small = stills("small", size=(52, 39))
    with pytest.raises(UsageError, match="its videos have 39 px, so take --crop 24, or go on with"):
        run(small, *views, target=target)
    assert run(stills("large", size=(60, 40)), *views, target=target).exit_code == 0


def test_a_share_of_the_area_needs_smaller_frames_where_they_are_long(
    stills: Stills, tiny_codebook: Path, tmp_path: Path
) -> None:
    """Half of a square's area is a square of 0.71 of its side, of a frame twice as wide of its short side."""
    views = tmp_path / "views.json"
    views.write_text('[{"resized": {"top": 0, "left": 0, "draws": [[0.5, 1]]}}]')
    options, target = ("--views", views, "--crop", 32), f"vq:{tiny_codebook}"
    assert run(stills("wide", size=(64, 32)), *options, target=target).exit_code == 0
    assert run(stills("tall", size=(32, 64)), *options, target=target).exit_code == 0
    with pytest.raises(UsageError, match=r"from frames of 46 px, .* frames of 45 px.* enlarged 1.02 times"):
        run(stills("square", size=(45, 45)), *options, target=target)
    assert run(stills("larger", size=(46, 46)), *options, target=target).exit_code == 0


@pytest.mark.parametrize(
    ("stored", "source", "target", "crop_px"),
    [
        (STORED, (80, 64), "hog", 64),
        (STORED, (72, 71), "hog", 64),  # tokens of 16 px
        ((300, 223), (300, 223), "hog", 208),
        ((80, 64), (200, 150), "hog", 64),  # no extraction would do, and what is stored is smaller still
        (STORED, (31, 40), "vq", 24),  # codes of 8 px
    ],
)
def test_videos_that_are_too_small_themselves_are_cropped(  # noqa: PLR0913 (fixtures)
    stills: Stills,
    tiny_codebook: Path,
    stored: tuple[int, int],
    source: tuple[int, int],
    target: str,
    crop_px: int,
) -> None:
    data = stills(num_samples=2, num_frames=1, size=stored, source_size=source)
    spec = f"vq:{tiny_codebook}" if target == "vq" else target
    with pytest.raises(UsageError, match=rf"its videos have {min(source)} px, so take --crop {crop_px}, or"):
        run(data, target=spec)
    assert run(data, "--crop", crop_px, target=spec).exit_code == 0


def test_a_video_without_a_single_token(stills: Stills) -> None:
    data = stills(size=STORED, source_size=(20, 15))
    with pytest.raises(UsageError, match="one token takes 16 px and its videos have 15, so take others, or"):
        run(data)


@pytest.mark.parametrize("source", [(300, 224), (1920, 1080)])
def test_exactly_enough_is_enough_and_nothing_is_noted(stills: Stills, source: tuple[int, int]) -> None:
    data = stills(num_samples=1, num_frames=1, size=(300, 224), source_size=source)
    done = run(data, "--accept-data")
    assert (done.exit_code, "note" in done.stderr) == (0, False)
    target = build_target("hog", TargetOptions())
    manifest = read_manifest(data)
    assert manifest.columns["hog"] == make_column(
        "hog",
        kind="hog",
        fields=("hog.npy",),
        options=target.options,
        source=manifest.columns["frames"].fingerprint,
    )


@pytest.mark.parametrize("num_workers", [1, 2])
def test_accepted_aloud_and_kept_in_the_column(
    stills: Stills, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    monkeypatch.setattr("vfm.video2token.target.Target.frames_per_worker", 1)
    data = stills(num_samples=2, num_frames=2, size=STORED, source_size=(426, 320))
    done = run(data, "--accept-data", "--workers", num_workers)
    assert done.exit_code == 0
    assert [line for line in done.stderr.splitlines() if line.startswith("note:")] == [
        f"note: Target hog is computed from frames of 224 px, and {data} has frames of 128 px, which would "
        "be enlarged 1.75 times: accepted."
    ]
    options = read_manifest(data).columns["hog"].options
    assert options == {**build_target("hog", TargetOptions()).options, "enlargement": 1.75}
    assert open_dataset(data, columns=("hog",)).array(0, "hog", "hog").shape[:2] == (1, 2)
    assert "1 of 1 shard done before" in run(data, "--accept-data").stderr
    with pytest.raises(UsageError, match="or go on with --accept-data"):
        run(data)


@pytest.mark.parametrize(
    ("sampling", "fps", "told"),
    [
        ("grid", 29.97, "--fps 29.97"),
        ("ffmpeg-fps-filter", 7.5, "--fps 7.5 --sampling ffmpeg-fps-filter"),
        ("uniform", None, "--num-frames 5"),
        ("native", None, "--fps native"),
    ],
)
def test_the_command_takes_the_same_frames(
    stills: Stills, monkeypatch: pytest.MonkeyPatch, sampling: str, fps: float | None, told: str
) -> None:
    dataset = open_dataset(stills(source_size=(426, 320)))
    meta = replace(dataset.meta(0), sampling=sampling, fps=fps)
    monkeypatch.setattr(dataset, "meta", lambda _index: meta)
    found = find_enlargement(build_target("hog", TargetOptions()), dataset)
    assert found is not None
    assert re.search(rf"NEW_DATA {re.escape(told)} --size 224`", found.remedy)


def test_images_are_extracted_again_as_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (400, 300)).save(tmp_path / "images" / "a.png")
    options = ExtractOptions(sampling="uniform", num_frames=1, decoder=IMAGE_DECODER, size_px=64)
    listing = list_sources([tmp_path / "images"], missing="error", options=ListOptions(images=True))
    extract_sources(listing.sources, tmp_path / "data", options)
    found = find_enlargement(build_target("hog", TargetOptions()), open_dataset(tmp_path / "data"))
    assert found is not None
    assert found.remedy == "extract again with `vfm extract IMAGES NEW_DATA --images --size 224`"


def test_half_of_the_samples_count(stills: Stills) -> None:
    small = look_at(open_dataset(stills(num_samples=2, size=STORED, source_size=(80, 64))))
    large = look_at(open_dataset(stills("large", num_samples=3, size=(80, 64), source_size=(426, 320))))
    assert short_side(small) == ShortSide(short_px=64, source_px=64)
    assert short_side(large) == ShortSide(short_px=64, source_px=320)
    assert short_side([*small, *large]) == ShortSide(short_px=64, source_px=320)
    assert short_side([]) is None


def test_a_dataset_without_samples_needs_nothing(stills: Stills) -> None:
    assert run(stills(num_samples=0, empty_shards=1)).exit_code == 0


@pytest.mark.parametrize("enlargement", [1.0, 0.5, "2", True, None, float("nan"), float("inf")])
def test_a_forged_enlargement_is_refused(enlargement: object) -> None:
    check_options({"enlargement": 1.75}, name="hog", kind="hog")
    with pytest.raises(ValueError, match=r"hog\.enlargement is .*, but must be"):
        check_options({"enlargement": enlargement}, name="hog", kind="hog")


def test_a_codebook_is_not_fitted_to_enlarged_frames(stills: Stills, tmp_path: Path) -> None:
    data, out = stills(size=STORED, source_size=(80, 64)), tmp_path / "book"
    options = FitOptions(name="tiny", crop_px=128, vocab_size=16, steps=1, seed=0)
    with pytest.raises(UsageError) as refused:
        fit_codebook(open_dataset(data), out, options)
    assert str(refused.value) == (
        f"The codebook is computed from frames of 128 px, and {data} has frames of 64 px, which would be "
        "enlarged 2 times: its videos have 64 px, so take --crop 64, or go on with --accept-data."
    )
    assert not (out / "config.json").exists()
    fit_codebook(open_dataset(data), out, options, accept_data=True)
    assert load_codebook(out).facts["enlargement"] == 2.0
    fit_codebook(open_dataset(data), tmp_path / "fits", replace(options, crop_px=64))
    assert "enlargement" not in load_codebook(tmp_path / "fits").facts


def test_a_plan_says_what_a_target_would_enlarge(film: Callable[..., Path]) -> None:
    done = CliRunner().invoke(
        plan, [str(film()), "--fps", "2", "--target", "hog", "--crop", "64", "--workers", "1"]
    )
    assert "frames of 48 px, which would be enlarged 1.33 times: its videos have 48 px, so" in done.stderr
