"""A plan's figures follow from a sample that is really extracted, and say how sure they are."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.format.plan import build_plan
from vfm.shards.format.sample import SampleMeta
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.jobs.plan.estimate import (
    EstimateOptions,
    PlanEstimate,
    choose,
    estimate,
    free_bytes,
    seconds_of,
)
from vfm.video2token.jobs.plan.statistics import Estimate, share, total
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sources.listing import list_sources
from vfm.video2token.target import TargetOptions

Film = Callable[..., Path]
OPTIONS = ExtractOptions(fps=5.0, size_px=48)


@pytest.fixture
def same(film: Film) -> Path:
    """Eight films of 25 frames in a second, all of the same bytes and with names of one length."""
    first = film("films/0.mp4", num_frames=25)
    for number in range(1, 8):
        first.with_name(f"{number}.mp4").write_bytes(first.read_bytes())
    return first.parent


def plan(root: Path, **how: object) -> PlanEstimate:
    options = EstimateOptions(**{"samples_per_shard": 3, **how})  # type: ignore[arg-type]
    return estimate(list_sources([root], missing="error").sources, OPTIONS, options)


def exactly(value: float) -> Estimate:
    return Estimate(value=pytest.approx(value), low=pytest.approx(value), high=pytest.approx(value))


def test_three_of_eight_equal_films_tell_all_of_them_exactly(same: Path, tmp_path: Path) -> None:
    told = plan(same, num_sampled=3)
    done = extract([same], tmp_path / "data", OPTIONS, samples_per_shard=3)
    assert (told.num_sources, told.num_sampled, told.num_shards) == (8, 3, 3)
    assert told.num_frames == exactly(done.num_frames) == exactly(8 * 5)
    assert told.video_s == exactly(8 * 1.0)
    (frames,) = told.columns
    assert (frames.name, frames.size_bytes) == ("frames", exactly(done.size_bytes))
    assert frames.elapsed_s.value > 0
    assert told.source_bytes == sum(path.stat().st_size for path in same.iterdir())


def test_bytes_of_a_target_are_those_that_tokenize_writes(
    same: Path, tmp_path: Path, tiny_codebook: Path
) -> None:
    spec, options = f"vq:{tiny_codebook}", TargetOptions(own={"crop_px": 32})
    sources = list_sources([same], missing="error").sources
    how = EstimateOptions(num_sampled=3, samples_per_shard=3)
    told = estimate(sources, OPTIONS, how, specs=[spec], target_options=options)
    extract([same], tmp_path / "data", OPTIONS, samples_per_shard=3)
    (done,) = tokenize(tmp_path / "data", [spec], options)
    assert told.columns[1].name == done.column
    assert told.columns[1].size_bytes == exactly(done.size_bytes)
    assert told.columns[1].elapsed_s.value > 0


def test_a_whole_sample_is_exact_whatever_the_films(films: Film, film: Film, tmp_path: Path) -> None:
    root = films(6)
    film("films/a/long.mp4", num_frames=90)
    (root / "b" / "bad.mp4").write_bytes(b"")
    told = plan(root, num_sampled=100)
    done = extract([root], tmp_path / "data", OPTIONS, samples_per_shard=3)
    assert (told.num_sampled, told.num_rejected, told.rejected_by_reason) == (8, 1, {"empty": 1})
    assert told.rejected_share == exactly(1 / 8)
    assert told.num_frames == exactly(done.num_frames)
    assert told.columns[0].size_bytes == exactly(done.size_bytes)


def test_different_films_give_an_interval_that_holds_the_truth(films: Film, film: Film) -> None:
    root = films(8)
    for number in range(4):
        film(f"films/a/long{number}.mp4", num_frames=80)
    told, truth = plan(root, num_sampled=8), plan(root, num_sampled=12).num_frames.value
    assert told.num_frames.low < told.num_frames.value < told.num_frames.high
    assert told.num_frames.low <= truth <= told.num_frames.high
    assert plan(root, num_sampled=8).num_frames == told.num_frames  # the same seed, the same sample


def test_labels_and_captions_are_counted(same: Path, tmp_path: Path) -> None:
    rows = [f"{same.name}/{number}.mp4,run,A film." for number in range(8)]
    listed = same.parent / "list.csv"
    listed.write_text("\n".join(["path,label,caption", *rows]) + "\n")
    done = extract([listed], tmp_path / "data", OPTIONS, samples_per_shard=3)
    assert plan(listed, num_sampled=2).columns[0].size_bytes == exactly(done.size_bytes)


def test_classes_are_those_of_the_job(same: Path) -> None:
    listed = same.parent / "list.csv"
    listed.write_text("path,label\n" + "".join(f"{same.name}/{i}.mp4,{i}\n" for i in range(8)))
    assert plan(listed, num_sampled=2, classes=[str(i) for i in range(9)]).num_sources == 8
    with pytest.raises(UsageError, match="has the label '7', which is none of the classes"):
        plan(listed, num_sampled=2, classes=[str(i) for i in range(7)])


def test_when_all_are_rejected_everything_is_nothing(tmp_path: Path, tiny_codebook: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"")
    sources = list_sources([tmp_path / "bad.mp4"], missing="error").sources
    told = estimate(sources, OPTIONS, EstimateOptions(), specs=[f"vq:{tiny_codebook}"])
    assert told.num_rejected == told.num_sampled == 1
    assert [column.size_bytes for column in told.columns] == [exactly(0), exactly(0)]


def test_nothing_is_left_behind(same: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    before = sorted(tmp_path.rglob("*"))
    told = plan(same, num_sampled=2, output=tmp_path / "out" / "data")
    assert sorted(tmp_path.rglob("*")) == before
    assert told.free_bytes is not None
    assert told.free_bytes > 0


def test_an_unknown_target_is_refused_before_any_work(same: Path) -> None:
    sources = list_sources([same], missing="error").sources
    with pytest.raises(UsageError, match="'nope' is of no known kind"):
        estimate(sources, OPTIONS, EstimateOptions(), specs=["nope"])


def test_a_sample_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--sample must be at least 1, got 0"):
        EstimateOptions(num_sampled=0)


def test_every_source_has_the_same_chance(film: Film) -> None:
    paths = [film(f"{number}.mp4", num_frames=1) for number in range(6)]
    whole = build_plan(list_sources(paths, missing="error").sources, samples_per_shard=3)
    chosen = [choose(whole, num_sampled=2, seed=seed) for seed in range(300)]
    assert all(largest == [] for largest, _ in chosen)
    counts = [sum(source in others for _, others in chosen) for source in whole.sources]
    assert sum(counts) == 600
    assert all(75 <= count <= 125 for count in counts)  # 100 ± 3 standard deviations
    assert choose(whole, num_sampled=9, seed=1)[1] == list(
        whole.sources[1:]
    )  # of one size, the first is largest


def test_the_largest_are_always_in_the_sample(film: Film) -> None:
    paths = [film(f"{number}.mp4", num_frames=5 + 20 * (number == 3)) for number in range(9)]
    whole = build_plan(list_sources(paths, missing="error").sources, samples_per_shard=3)
    for seed in range(20):
        largest, others = choose(whole, num_sampled=4, seed=seed)
        assert [source.identity for source in largest] == ["3.mp4"]
        assert len(others) == 3
        assert not set(others) & set(largest)


def test_one_long_film_among_many_does_not_escape(film: Film) -> None:
    first = film("films/0.mp4", num_frames=25)
    for number in range(1, 30):
        first.with_name(f"{number}.mp4").write_bytes(first.read_bytes())
    film("films/30.mp4", num_frames=250)
    told = plan(first.parent, num_sampled=4)
    assert (told.num_sampled, told.num_largest) == (4, 1)
    assert told.num_frames == exactly(30 * 5 + 50)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"source_duration_s": 12.0}, 12.0),
        ({"source_duration_s": None}, 1.5),
        ({"source_duration_s": 12.0, "start_s": 3.0}, 1.5),
        ({"source_duration_s": 9e9, "flags": ("duration_lies",)}, 1.5),
    ],
)
def test_length_is_what_the_video_tells_or_what_its_frames_cover(
    meta_of: SampleMeta, changes: dict[str, object], seconds: float
) -> None:
    assert seconds_of(replace(meta_of, **changes)) == seconds  # type: ignore[arg-type]


@pytest.fixture
def meta_of() -> SampleMeta:
    """The metadata of a sample of three frames, half a second apart."""
    return SampleMeta(
        key="k", source="k.mp4", outcome="ok", fps=2.0, sampling="grid", num_frames=3, pts_s=(1.0, 1.5, 2.0),
        width_px=32, height_px=24, source_width_px=64, source_height_px=48, source_fps=30.0,
        source_duration_s=1.5, codec="h264", pix_fmt="yuv420p", container="mov", rotation_deg=0,
        sample_aspect_ratio="1:1", color={},
    )  # fmt: skip


def test_totals_are_those_of_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    values = np.arange(1.0, 101.0)
    told = total(values, num_all=10_000, rng=rng)
    # The normal approximation: N · 1.96 · s / √n · √(1 - n/N).
    half = 10_000 * 1.96 * values.std(ddof=1) / 10 * np.sqrt(0.99)
    assert told.value == pytest.approx(505_000)
    assert told.high - told.value == pytest.approx(half, rel=0.05)
    assert told.value - told.low == pytest.approx(half, rel=0.05)


def test_a_total_is_never_below_what_was_seen() -> None:
    told = total(np.array([0.0, 0.0, 0.0, 90.0]), num_all=5, rng=np.random.default_rng(0))
    assert told.low == 90.0
    assert told.value == 112.5


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 0.1072), (5, 0.0686, 0.3175), (32, 0.8928, 1.0)])
def test_shares_have_wilsons_interval(count: int, low: float, high: float) -> None:
    told = share(count, num_sampled=32, num_all=1000)
    assert (told.value, told.low, told.high) == (
        count / 32,
        pytest.approx(low, abs=1e-4),
        pytest.approx(high, abs=1e-4),
    )


def test_the_free_space_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.1)
