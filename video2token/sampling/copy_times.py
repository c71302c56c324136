"""When frames appear in the stored copy."""

from collections.abc import Sequence
from typing import Any

from vfm.video2token.sampling.sampler import Sampler


def copy_times(pts_s: list[float], sampler: Sampler[Any]) -> tuple[float, ...]:
    """Return when each frame appears in the stored copy, seconds from the first.

    Args:
        pts_s: the times that are stored, as the sampler gave them.
        sampler: after its end.
    """
    if sampler.step_s is None:
        return tuple(time - pts_s[0] for time in pts_s)
    first_tick_s = round(float(sampler.first_tick_s), 6)
    return tuple(times_in_copy(pts_s, fps=float(1 / sampler.step_s), first_tick_s=first_tick_s))


def times_in_copy(pts_s: Sequence[float], *, fps: float, first_tick_s: float | None = None) -> list[float]:
    """Return when each stored frame appears in the stored copy, seconds from its first frame.

    That is its own presentation time; where a tick shows a frame again, it is the time of the tick.

    Args:
        pts_s: presentation times of the frames, at ticks that are regular.
        fps: of the ticks.
        first_tick_s: when the first tick stands; None: at the time of the first frame.
    """
    late_s = 0.0 if first_tick_s is None else first_tick_s - pts_s[0]
    times: list[float] = []
    for tick, pts in enumerate(pts_s):
        again = tick > 0 and pts == pts_s[tick - 1]
        times.append(tick / fps + late_s if again else pts - pts_s[0])
    return times
