"""Which frame is taken when: the rules of sampling on presentation times, in exact arithmetic.

grid
    Tick k stands at ``t0 + k / fps``, where t0 is the presentation time of the first frame. It takes the
    frame that a player shows at that moment: the last one whose presentation time is not later than the
    tick. The grid ends where the last frame stops being shown, and has at least one tick. Between ticks
    nothing drifts: every tick is computed from k, never from the tick before.
uniform
    N ticks in the middle of N equal parts of the time between the first frame and the end; each takes the
    frame shown there. A video of fewer than N frames shows some again.
native
    Every frame, once.
ffmpeg-fps-filter
    What FFmpeg's filter ``fps`` puts out: see ``fps_filter``.

In a segment, ticks are counted from its begin, and frames outside of it are left out.
"""

from abc import ABC, abstractmethod
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
    """A frame at a tick; the same frame object comes again where a tick shows it again.

    Attributes:
        pts: the frame's presentation time, in units of the time base.
        tick_s: what is stored as its time where the rule moves frames to its ticks, seconds in the source.
    """

    pts: int
    frame: Frame
    tick_s: Fraction | None = None


class Sampler(ABC, Generic[Frame]):
    """Takes frames in the order they are shown, gives some of them; what all rules share.

    Args:
        time_base: seconds per unit of every ``pts``.
        max_frames: more frames than this raise ``TooManyFramesError``, before anything is stored for them.
        start_s: where the segment begins, seconds from the first frame.
        end_s: where it ends; None for the video's end.

    Attributes:
        num_backward: frames left out because their time was not later than that of the frame before.
        is_done: no later frame can be taken.
        first_tick_s: when the first of the frames given is to be seen, seconds in the source.
        step_s: time between ticks, seconds; None where there are none.
    """

    step_s: Fraction | None = None

    def __init__(
        self,
        *,
        time_base: Fraction,
        max_frames: int,
        start_s: Fraction = Fraction(0),
        end_s: Fraction | None = None,
    ) -> None:
        self.num_backward = 0
        self.is_done = False
        self._time_base = time_base
        self._max_frames = max_frames
        self._start = start_s / time_base
        self._end = None if end_s is None else end_s / time_base
        self._num_given = 0
        self._first_pts: int | None = None
        self._shown: Shown[Frame] | None = None
        self._own_duration = 0
        self._longest_gap = 0

    def push(self, frame: Frame, *, pts: int, duration: int) -> list[Shown[Frame]]:
        """Take the next frame and return the frames that are now certain.

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
        before, self._shown, self._own_duration = self._shown, Shown(pts, frame), duration
        if self._end is not None:
            self.is_done |= self._is_over(pts)
        return [] if before is None else self._count(self._until(before, self._shown))

    def finish(self) -> list[Shown[Frame]]:
        """Return the frames left at the video's end."""
        return [] if self._shown is None else self._count(self._rest(self._shown))

    @property
    def end_pts(self) -> int:
        """When the last frame stops being shown.

        What the frame says of itself counts up to the longest time that another frame was shown, or up to
        one tick in a video of one frame: a container that lies by weeks adds nothing.
        """
        if self._shown is None:
            return 0
        longest = self._longest_gap or self._longest_alone()
        return self._shown.pts + min(self._own_duration or longest, longest)

    @property
    def first_pts(self) -> int:
        """Presentation time of the first frame, 0 before there is one."""
        return self._first_pts or 0

    @property
    def has_frames(self) -> bool:
        """Whether any frame was pushed."""
        return self._shown is not None

    @property
    def first_tick_s(self) -> Fraction:
        """When the first tick stands, seconds in the source."""
        return (self.first_pts + self._start) * self._time_base

    @abstractmethod
    def _until(self, before: Shown[Frame], shown: Shown[Frame]) -> list[Shown[Frame]]:
        """Return what is certain once ``shown`` follows ``before``."""

    @abstractmethod
    def _rest(self, shown: Shown[Frame]) -> list[Shown[Frame]]:
        """Return what is left once it is known that ``shown`` is the last."""

    def _longest_alone(self) -> int:
        """How long the only frame of a video may be shown, in units of the time base."""
        return self._own_duration

    def _count(self, given: list[Shown[Frame]]) -> list[Shown[Frame]]:
        self._num_given += len(given)
        return given

    def _is_over(self, pts: int) -> bool:
        return self._end is not None and pts >= self.first_pts + self._end

    def _refuse_more_than_allowed(self, count: int) -> None:
        if self._num_given + count > self._max_frames:
            raise TooManyFramesError


class GridSampler(Sampler[Frame]):
    """Gives the frame shown at each tick of a regular grid.

    Args:
        fps: ticks per second.
        num_ticks: how many there are; None: as many as lie before the end of video and segment.
    """

    def __init__(
        self,
        *,
        fps: Fraction,
        time_base: Fraction,
        max_frames: int,
        start_s: Fraction = Fraction(0),
        end_s: Fraction | None = None,
        num_ticks: int | None = None,
    ) -> None:
        super().__init__(time_base=time_base, max_frames=max_frames, start_s=start_s, end_s=end_s)
        tick, late = 1 / (fps * time_base), min(Fraction(1, 2), _MAX_LATE_S / time_base)
        ends = [tick, late, self._start, *([] if self._end is None else [self._end])]
        # Whole parts of a unit, so fine that all of these are whole numbers: exact, and fast per frame.
        self._parts = lcm(*(value.denominator for value in ends))
        self._tick, self._late = int(tick * self._parts), int(late * self._parts)
        self._start_parts = int(self._start * self._parts)
        self._end_parts = None if self._end is None else int(self._end * self._parts)
        self._num_ticks = num_ticks
        self.step_s = 1 / fps

    def _until(self, before: Shown[Frame], shown: Shown[Frame]) -> list[Shown[Frame]]:
        # The frame before fills the ticks that even the rounding of containers cannot give to this one.
        return self._fill(before, until=shown.pts * self._parts - self._late)

    def _rest(self, shown: Shown[Frame]) -> list[Shown[Frame]]:
        if self._num_ticks is not None:
            return [shown] * (self._num_ticks - self._num_given)
        # Where the last frame ends is off by two roundings: of when it begins, and of how long it lasts.
        end = self.end_pts * self._parts
        ticks = self._fill(shown, until=end - 2 * self._late)
        begin = self.first_pts * self._parts + self._start_parts
        if self._num_given or ticks or begin > max(end - 1, shown.pts * self._parts):
            return ticks
        return self._fill(shown, until=begin + 1)

    def _longest_alone(self) -> int:
        return self._tick // self._parts

    def _fill(self, shown: Shown[Frame], *, until: int) -> list[Shown[Frame]]:
        """Return the shown frame once for every tick left before ``until`` (in parts of a unit)."""
        first = self.first_pts * self._parts
        if self._end_parts is not None:
            until = min(until, first + self._end_parts)
        num_before = -((first + self._start_parts - until) // self._tick)  # the ceiling of a division
        if self._num_ticks is not None:
            num_before = min(num_before, self._num_ticks)
        count = max(0, num_before - self._num_given)
        self._refuse_more_than_allowed(count)
        return [shown] * count


class NativeSampler(Sampler[Frame]):
    """Gives every frame of the segment once; the frame shown at its begin where none begins inside."""

    def _until(self, before: Shown[Frame], shown: Shown[Frame]) -> list[Shown[Frame]]:
        begin = self.first_pts + self._start
        is_shown_at_begin = not self._num_given and self._is_over(shown.pts) and shown.pts > begin
        if self._is_over(before.pts) or (before.pts < begin and not is_shown_at_begin):
            return []
        self._refuse_more_than_allowed(1)
        return [before]

    def _rest(self, shown: Shown[Frame]) -> list[Shown[Frame]]:
        begin = self.first_pts + self._start
        is_shown_at_begin = not self._num_given and begin < self.end_pts
        if self._is_over(shown.pts) or (shown.pts < begin and not is_shown_at_begin):
            return []
        self._refuse_more_than_allowed(1)
        return [shown]


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
