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
from fractions import Fraction
from typing import Generic, NamedTuple, TypeVar

Frame = TypeVar("Frame")


class TooManyFramesError(Exception):
    """The video has more ticks than allowed."""


class TickFrame(NamedTuple, Generic[Frame]):
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
        self._shown: TickFrame[Frame] | None = None
        self._own_duration = 0
        self._longest_gap = 0

    def push(self, frame: Frame, *, pts: int, duration: int) -> list[TickFrame[Frame]]:
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
        before, self._shown, self._own_duration = self._shown, TickFrame(pts, frame), duration
        if self._end is not None:
            self.is_done |= self._is_over(pts)
        return [] if before is None else self._count(self._until(before, self._shown))

    def finish(self) -> list[TickFrame[Frame]]:
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
    def _until(self, before: TickFrame[Frame], shown: TickFrame[Frame]) -> list[TickFrame[Frame]]:
        """Return what is certain once ``shown`` follows ``before``."""

    @abstractmethod
    def _rest(self, shown: TickFrame[Frame]) -> list[TickFrame[Frame]]:
        """Return what is left once it is known that ``shown`` is the last."""

    def _longest_alone(self) -> int:
        """How long the only frame of a video may be shown, in units of the time base."""
        return self._own_duration

    def _count(self, given: list[TickFrame[Frame]]) -> list[TickFrame[Frame]]:
        self._num_given += len(given)
        return given

    def _is_over(self, pts: int) -> bool:
        return self._end is not None and pts >= self.first_pts + self._end

    def _refuse_more_than_allowed(self, count: int) -> None:
        if self._num_given + count > self._max_frames:
            raise TooManyFramesError
