"""The regular grid on presentation times: which frame is shown at each tick, in exact arithmetic.

Tick k stands at ``t0 + k / fps``, where t0 is the presentation time of the first frame. It takes the frame
that a player shows at that moment: the last one whose presentation time is not later than the tick. The
grid ends where the last frame stops being shown, and has at least one tick. Between ticks nothing drifts:
every tick is computed from k, never from the tick before.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from typing import Generic, NamedTuple, TypeVar

Frame = TypeVar("Frame")

# Containers round times: 2/3 s is stored as 0.667 in Matroska. A frame may therefore come late by half a
# unit of its time base and still be the frame of its tick; in coarse time bases by 1 ms at most.
_MAX_LATE_S = Fraction(1, 1000)


class TooManyFramesError(Exception):
    """The video has more ticks than allowed."""


class Shown(NamedTuple, Generic[Frame]):
    """A frame at a tick; the same frame object comes again where a tick shows it again."""

    pts: int
    frame: Frame


class GridSampler(Generic[Frame]):
    """Takes frames in the order they are decoded, gives one for every tick.

    Args:
        fps: ticks per second.
        time_base: seconds per unit of every ``pts``.
        max_frames: more ticks than this raise ``TooManyFramesError``, before anything is stored for them.

    Attributes:
        num_backward: frames left out because their time was not later than that of the frame before.
    """

    def __init__(self, *, fps: Fraction, time_base: Fraction, max_frames: int) -> None:
        self.num_backward = 0
        tick, late = 1 / (fps * time_base), min(Fraction(1, 2), _MAX_LATE_S / time_base)
        # Whole parts of a unit, so fine that ticks and lateness are whole numbers: exact, and fast per frame.
        self._parts = lcm(tick.denominator, late.denominator)
        self._tick, self._late = int(tick * self._parts), int(late * self._parts)
        self._max_frames = max_frames
        self._num_ticks = 0
        self._first_pts: int | None = None
        self._shown: Shown[Frame] | None = None
        self._own_duration = 0
        self._longest_gap = 0

    def push(self, frame: Frame, *, pts: int, duration: int) -> list[Shown[Frame]]:
        """Take the next frame and return the ticks that the frame before it filled.

        Args:
            frame: anything; it is only handed through.
            pts: presentation time in units of the time base.
            duration: how long the frame says it is shown, in the same units; 0 when it does not say.
        """
        if self._shown is None:
            self._first_pts = pts
        elif pts <= self._shown.pts:
            self.num_backward += 1
            return []
        else:
            self._longest_gap = max(self._longest_gap, pts - self._shown.pts)
        # The frame before fills the ticks that even the rounding of containers cannot give to this one.
        ticks = self._fill(pts * self._parts - self._late)
        self._shown, self._own_duration = Shown(pts, frame), duration
        return ticks

    def finish(self) -> list[Shown[Frame]]:
        """Return the ticks that the last frame fills: the first tick at least, if there was any frame."""
        if self._shown is None:
            return []
        # Where the last frame ends is off by two roundings: of when it begins, and of how long it lasts.
        ticks = self._fill(self.end_pts * self._parts - 2 * self._late)
        return ticks if self._num_ticks else self._fill(self._shown.pts * self._parts + 1)

    @property
    def end_pts(self) -> int:
        """When the last frame stops being shown.

        What the frame says of itself counts up to the longest time that another frame was shown, or up to
        one tick in a video of one frame: a container that lies by weeks adds nothing.
        """
        if self._shown is None:
            return 0
        longest = self._longest_gap or self._tick // self._parts
        return self._shown.pts + min(self._own_duration or longest, longest)

    @property
    def first_pts(self) -> int:
        """Presentation time of the first frame, 0 before there is one."""
        return self._first_pts or 0

    def _fill(self, until: int) -> list[Shown[Frame]]:
        """Return the shown frame once for every tick left before ``until`` (in parts of a unit)."""
        if self._shown is None:
            return []
        num_before = -((self.first_pts * self._parts - until) // self._tick)  # the ceiling of a division
        count = max(0, num_before - self._num_ticks)
        if self._num_ticks + count > self._max_frames:
            raise TooManyFramesError
        self._num_ticks += count
        return [self._shown] * count


def times_in_copy(pts_s: Sequence[float], *, fps: float) -> list[float]:
    """Return when each stored frame appears in the stored copy, seconds from its first frame.

    That is its own presentation time; where a tick shows a frame again, it is the time of the tick.
    """
    times: list[float] = []
    for tick, pts in enumerate(pts_s):
        again = tick > 0 and pts == pts_s[tick - 1]
        times.append(tick / fps if again else pts - pts_s[0])
    return times
