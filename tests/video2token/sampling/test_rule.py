"""Rules that are not the plain grid, and segments: which frame is taken, and when it appears in the copy."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from vfm.video2token.options import ExtractOptions
from vfm.video2token.sampling.copy_times import copy_times
from vfm.video2token.sampling.rule import SamplingRule
from vfm.video2token.sampling.sampler import TooManyFramesError

HUNDREDTHS = Fraction(1, 100)


def take(
    pts: list[int],
    *,
    duration: int = 4,
    start_s: float | None = None,
    end_s: float | None = None,
    **options: Any,
) -> tuple[list[int], tuple[float, ...]]:
    """Return the times of the frames taken, in 1/100 s, and when they appear in the copy, in seconds."""
    rule = SamplingRule(
        options=ExtractOptions(**options).sampling_options, time_base=HUNDREDTHS, start_s=start_s, end_s=end_s
    )
    sampler = rule.sampler([(value, duration) for value in pts])
    ticks = [shown for value in pts for shown in sampler.push(value, pts=value, duration=duration)]
    ticks += sampler.finish()
    if not ticks:
        return [], ()
    stored = [float(shown.pts * HUNDREDTHS if shown.tick_s is None else shown.tick_s) for shown in ticks]
    return [shown.frame for shown in ticks], copy_times(stored, sampler)


FILM = list(range(700, 900, 4))  # 2 s of 25 fps that begin at 7 s


def test_native_takes_every_frame_at_its_time() -> None:
    pts = [5, 6, 9, 100, 101]
    assert take(pts, sampling="native") == (pts, pytest.approx((0, 0.01, 0.04, 0.95, 0.96)))
    assert take([3], sampling="native") == ([3], (0.0,))


def test_native_refuses_more_than_allowed() -> None:
    assert len(take(FILM, sampling="native", max_frames=50)[0]) == 50
    with pytest.raises(TooManyFramesError):
        take(FILM, sampling="native", max_frames=49)


def test_native_segment_has_the_frames_that_begin_in_it() -> None:
    assert take(FILM, sampling="native", start_s=0.1, end_s=0.2)[0] == [712, 716]
    assert take(FILM, sampling="native", start_s=1.9)[0] == [892, 896]
    # no frame begins inside: the one that is shown there
    assert take([0, 100, 200], sampling="native", start_s=1.2, end_s=1.5)[0] == [100]
    assert take([0, 100, 200], sampling="native", start_s=2.01, end_s=2.5, duration=50)[0] == [200]
    assert take([0, 100, 200], sampling="native", start_s=2.6, end_s=2.9, duration=50) == ([], ())


def test_uniform_takes_the_middle_of_equal_parts() -> None:
    # parts of 0.5 s: ticks at 0.25, 0.75, 1.25, 1.75 s
    frames, times = take(FILM, sampling="uniform", num_frames=4)
    assert frames == [724, 772, 824, 872]
    assert times == pytest.approx((0, 0.48, 1.0, 1.48))


@pytest.mark.parametrize("count", [1, 2, 7, 49, 50, 51, 130])
def test_uniform_always_gives_the_number_asked_for(count: int) -> None:
    frames, times = take(FILM, sampling="uniform", num_frames=count)
    assert len(frames) == count
    assert frames == sorted(frames)
    assert len(set(frames)) == min(count, 50)
    assert (np.diff(times) > 0).all()


def test_uniform_shows_frames_again_where_there_are_too_few() -> None:
    # parts of 1/3 s of a video of 1 s: ticks at 1/6, 1/2, 5/6 s
    frames, times = take([0, 50], duration=50, sampling="uniform", num_frames=3)
    assert frames == [0, 50, 50]
    assert times == pytest.approx((0, 0.5, 5 / 6))
    assert take([0], sampling="uniform", num_frames=3)[0] == [0, 0, 0]


def test_uniform_in_a_segment_is_spread_over_the_segment() -> None:
    assert take(FILM, sampling="uniform", num_frames=2, start_s=1.0, end_s=2.0)[0] == [824, 872]
    assert take(FILM, sampling="uniform", num_frames=2, start_s=1.0)[0] == [824, 872]
    assert take(FILM, sampling="uniform", num_frames=2, start_s=1.0, end_s=99.0)[0] == [824, 872]
    assert take(FILM, sampling="uniform", num_frames=2, start_s=2.0, end_s=99.0) == ([], ())


def test_grid_in_a_segment_counts_from_its_begin() -> None:
    # ticks at 0.3, 0.8, 1.3 s; the frame shown at 0.3 s began at 0.28 s
    frames, times = take(FILM, fps=2.0, start_s=0.3, end_s=1.5)
    assert frames == [728, 780, 828]
    assert times == pytest.approx((0, 0.52, 1.0))
    assert take(FILM, fps=2.0, start_s=0.3, end_s=1.3)[0] == [728, 780]  # no tick stands at the end


@pytest.mark.parametrize(
    ("start_s", "end_s", "taken"),
    [
        (1.99, 99.0, [896]),  # the last frame is shown until 2 s
        (2.0, 99.0, []),
        (5.0, None, []),
        (0.0, 0.001, [700]),
        (None, 0.5, [700]),
    ],
)
def test_ends_of_segments(start_s: float | None, end_s: float | None, taken: list[int]) -> None:
    assert take(FILM, fps=2.0, start_s=start_s, end_s=end_s)[0] == taken


def test_segments_of_a_video_are_those_of_the_whole_where_ticks_agree() -> None:
    whole = take(FILM, fps=5.0)[0]
    parts = [take(FILM, fps=5.0, start_s=begin, end_s=begin + 0.4)[0] for begin in (0.0, 0.4, 0.8, 1.2, 1.6)]
    assert [frame for part in parts for frame in part] == whole


def test_frames_shown_again_in_a_segment_appear_at_their_ticks() -> None:
    # ticks at 0.5, 1.0, 1.5 s; the second frame begins at 1.2 s
    frames, times = take([0, 120, 200], fps=2.0, start_s=0.5, end_s=2.0)
    assert frames == [0, 0, 120]
    assert times == pytest.approx((0, 1.0, 1.2))


def test_filter_in_a_segment_is_the_filter_behind_a_trim() -> None:
    frames, times = take(FILM, sampling="ffmpeg-fps-filter", fps=5.0, start_s=1.0, end_s=1.6)
    assert frames == [808, 828, 848]
    assert times == pytest.approx((0, 0.2, 0.4))
