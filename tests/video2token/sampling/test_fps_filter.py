"""The rule ``ffmpeg-fps-filter`` against FFmpeg's filter itself."""

from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest

from vfm.video2token.sampling.fps_filter import FpsFilterSampler
from vfm.video2token.sampling.sampler import TooManyFramesError


def by_filter(pts: list[int], *, duration: int, fps: Fraction, time_base: Fraction) -> list[tuple[int, int]]:
    """Return what the filter puts out: number of the frame, and tick."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=16, height=16, format="gray", time_base=time_base)
    chosen = graph.add("fps", f"fps={fps.numerator}/{fps.denominator}")
    sink = graph.add("buffersink")
    source.link_to(chosen)
    chosen.link_to(sink)
    graph.configure()
    given = []
    for index, value in enumerate([*pts, None]):
        if value is None:
            source.push(None)
        else:
            frame = av.VideoFrame.from_ndarray(np.full((16, 16), index, np.uint8), format="gray")
            frame.pts, frame.time_base, frame.duration = value, time_base, duration
            source.push(frame)
        while True:
            try:
                out = sink.pull()
            except (av.BlockingIOError, av.EOFError):
                break
            assert isinstance(out, av.VideoFrame)
            assert out.pts is not None
            given.append((int(out.to_ndarray()[0, 0]), out.pts))
    return given


def by_rule(
    pts: list[int], *, duration: int, fps: Fraction, time_base: Fraction, origin: int = 0
) -> list[tuple[int, Fraction | None]]:
    sampler: FpsFilterSampler[int] = FpsFilterSampler(
        fps=fps, time_base=time_base, max_frames=10_000, origin=origin
    )
    ticks = []
    for index, value in enumerate(pts):
        ticks += sampler.push(index, pts=value, duration=duration)
    return [(shown.frame, shown.tick_s) for shown in [*ticks, *sampler.finish()]]


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_filter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fps = Fraction(int(rng.integers(1, 40)), int(rng.integers(1, 5)))
    time_base = Fraction(1, int(rng.choice([10, 25, 600, 1000, 12800, 90000])))
    gaps = rng.integers(1, 2 + int(2 / (fps * time_base)), size=40)
    pts = [int(value) for value in rng.integers(-3000, 3000) + np.cumsum(gaps)]
    duration = int(rng.integers(1, 3 + int(1 / (fps * time_base))))
    given = by_filter(pts, duration=duration, fps=fps, time_base=time_base)
    expected = [(index, tick / fps) for index, tick in given]
    assert by_rule(pts, duration=duration, fps=fps, time_base=time_base) == expected
    assert len(expected) > 3


@pytest.mark.parametrize(
    ("pts", "fps", "taken"),
    [
        (list(range(50)), "2", [6, 18, 31, 43]),  # not the frames shown at the ticks, but the last near them
        (list(range(6)), "2", []),
        (list(range(100, 150)), "1", [12, 37]),
        ([0, 100], "1", [0, 0, 0, 0]),
    ],
)
def test_frames_near_the_ticks_are_taken(pts: list[int], fps: str, taken: list[int]) -> None:
    given = by_filter(pts, duration=1, fps=Fraction(fps), time_base=Fraction(1, 25))
    assert [index for index, _ in given] == taken
    ours = by_rule(pts, duration=1, fps=Fraction(fps), time_base=Fraction(1, 25))
    assert [index for index, _ in ours] == (taken or [0])  # at least one frame, where the filter gives none


def test_time_is_counted_from_where_the_container_begins() -> None:
    pts = list(range(1003, 1053))
    moved = by_rule(pts, duration=1, fps=Fraction(2), time_base=Fraction(1, 25), origin=1000)
    plain = by_rule([value - 1000 for value in pts], duration=1, fps=Fraction(2), time_base=Fraction(1, 25))
    assert [index for index, _ in moved] == [index for index, _ in plain]
    assert [tick for _, tick in moved] == [tick + 40 for _, tick in plain if tick is not None]


def test_gap_of_a_year_is_refused() -> None:
    with pytest.raises(TooManyFramesError):
        by_rule([0, 365 * 86400 * 25], duration=1, fps=Fraction(2), time_base=Fraction(1, 25))
