"""Frames at regular ticks."""

from fractions import Fraction
from math import lcm

from vfm.video2token.sampling.sampler import Frame, Sampler, TickFrame

# Containers round times: 2/3 s is stored as 0.667 in Matroska. A frame may therefore come late by half a
# unit of its time base and still be the frame of its tick; in coarse time bases by 1 ms at most.
_MAX_LATE_S = Fraction(1, 1000)


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

    def _until(self, before: TickFrame[Frame], shown: TickFrame[Frame]) -> list[TickFrame[Frame]]:
        # The frame before fills the ticks that even the rounding of containers cannot give to this one.
        return self._fill(before, until=shown.pts * self._parts - self._late)

    def _rest(self, shown: TickFrame[Frame]) -> list[TickFrame[Frame]]:
        if self._num_ticks is not None:
            return [shown] * (self._num_ticks - self._num_given)
        # A tick every 2 units. ``_until`` gave a when b came, and b when c came; d is left, shown until 5.
        #
        #   units     0     1     2     3     4     5     6
        #   frames    a     b-----------c     d-----|
        #   ticks     0           1           2           3
        #   given     a           b           d           nothing: no frame is shown any more
        #
        # Where the last frame ends is off by two roundings: of when it begins, and of how long it lasts.
        end = self.end_pts * self._parts
        ticks = self._fill(shown, until=end - 2 * self._late)
        begin = self.first_pts * self._parts + self._start_parts
        # A segment that begins before the end has at least the tick at its begin.
        if self._num_given or ticks or begin > max(end - 1, shown.pts * self._parts):
            return ticks
        return self._fill(shown, until=begin + 1)

    def _longest_alone(self) -> int:
        return self._tick // self._parts

    def _fill(self, shown: TickFrame[Frame], *, until: int) -> list[TickFrame[Frame]]:
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
