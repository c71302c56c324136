from fractions import Fraction

import numpy as np
import pytest

from vfm.video2token.sampling.copy_times import times_in_copy
from vfm.video2token.sampling.grid import GridSampler
from vfm.video2token.sampling.sampler import TooManyFramesError


def take(
    pts: list[int], *, fps: str, time_base: str, duration: int = 0, max_frames: int = 10_000
) -> list[int]:
    """Return the pts of the frame taken at each tick."""
    sampler: GridSampler[int] = GridSampler(
        fps=Fraction(fps), time_base=Fraction(time_base), max_frames=max_frames
    )
    ticks = [shown for value in pts for shown in sampler.push(value, pts=value, duration=duration)]
    ticks += sampler.finish()
    assert all(shown.frame == shown.pts for shown in ticks)
    return [shown.pts for shown in ticks]


def test_regular_video_gives_the_frame_shown_at_each_tick() -> None:
    # 25 fps for 2 s at 2 fps: ticks 0, 0.5, 1, 1.5 s; at 0.5 s the frame of 0.48 s is still shown
    assert take(list(range(50)), fps="2", time_base="1/25", duration=1) == [0, 12, 25, 37]


def test_grid_starts_at_the_first_frame_and_does_not_drift() -> None:
    pts = [7000 + 40 * i for i in range(25 * 3600)]
    taken = take(pts, fps="2", time_base="1/1000", duration=40)
    assert len(taken) == 7200
    assert taken[0] == 7000
    assert all(0 <= (7000 + 500 * k) - value < 40 for k, value in enumerate(taken))


@pytest.mark.parametrize("fps", ["24", "24000/1001", "30000/1001", "50", "3"])
def test_native_rate_takes_every_frame_once_although_the_container_rounds(fps: str) -> None:
    pts = [round(i / Fraction(fps) * 1000) for i in range(500)]
    assert take(pts, fps=fps, time_base="1/1000", duration=round(1000 / Fraction(fps))) == pts


def test_higher_rate_shows_frames_again() -> None:
    assert take([0, 1, 2], fps="4", time_base="1/2", duration=1) == [0, 0, 1, 1, 2, 2]


def test_unregular_times_are_sampled_by_time() -> None:
    # ticks 0 to 7 s; the last frame starts at 7.0 s and lasts as long as it says
    taken = take([0, 1, 2, 30, 31, 70], fps="1", time_base="1/10", duration=1)
    assert taken == [0, 2, 2, 30, 31, 31, 31, 70]


@pytest.mark.parametrize(
    ("pts", "duration", "taken"),
    [
        ([0], 0, [0]),  # one frame is one tick, whatever it says of itself
        ([0], 10**9, [0]),
        ([5, 6], 0, [5]),  # a last frame without duration lasts as long as the longest before it
        ([0, 100], 0, [0, 100]),
        ([0, 100], 50, [0, 100]),
        ([0, 1, 2], 10**9, [0]),  # a lie adds nothing
        ([0, 300], 300, [0, 0, 0, 300, 300, 300]),
    ],
)
def test_end_of_the_grid(pts: list[int], duration: int, taken: list[int]) -> None:
    assert take(pts, fps="1", time_base="1/100", duration=duration) == taken


def test_no_frames_give_no_ticks() -> None:
    assert take([], fps="2", time_base="1/25") == []


def test_gap_of_a_year_is_refused_before_anything_is_stored() -> None:
    with pytest.raises(TooManyFramesError):
        take([0, 365 * 86400 * 1000], fps="2", time_base="1/1000", max_frames=36_000)


def test_max_frames_is_the_last_number_allowed() -> None:
    assert len(take(list(range(20)), fps="1", time_base="1", duration=1, max_frames=20)) == 20
    with pytest.raises(TooManyFramesError):
        take(list(range(21)), fps="1", time_base="1", duration=1, max_frames=20)


def test_frames_whose_time_runs_backwards_are_left_out_and_counted() -> None:
    sampler: GridSampler[int] = GridSampler(fps=Fraction(1), time_base=Fraction(1), max_frames=100)
    ticks = [shown.pts for pts in (0, 2, 1, 2, 3) for shown in sampler.push(pts, pts=pts, duration=1)]
    assert ticks + [shown.pts for shown in sampler.finish()] == [0, 0, 2, 3]
    assert sampler.num_backward == 2


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fps = Fraction(int(rng.integers(1, 60)), int(rng.integers(1, 7)))
    time_base = Fraction(1, int(rng.choice([10, 25, 600, 1000, 12800, 90000])))
    gaps = rng.integers(1, 1 + int(2 / (fps * time_base)) + 1, size=60)
    pts = [int(value) for value in rng.integers(-500, 500) + np.cumsum(gaps)]
    duration = int(rng.integers(1, 100))
    late = min(time_base / 2, Fraction(1, 1000))
    times = [(value - pts[0]) * time_base for value in pts]
    end = times[-1] + min(duration, max(int(gap) for gap in np.diff(pts))) * time_base
    expected, k = [], 0
    while k == 0 or k / fps < end - 2 * late:
        expected.append(max(value for value, time in zip(pts, times, strict=True) if time <= k / fps + late))
        k += 1
    assert take(pts, fps=str(fps), time_base=str(time_base), duration=duration) == expected


def test_copy_shows_frames_at_their_own_times_and_again_at_the_tick() -> None:
    assert times_in_copy([7.0, 7.48, 7.48, 8.48], fps=2.0) == pytest.approx([0.0, 0.48, 1.0, 1.48])
