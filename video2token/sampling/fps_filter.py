"""FFmpeg's filter ``fps``, as arithmetic on presentation times: for parity with data sets made with it.

The rule, of the filter's documentation and confirmed against the filter itself in the tests: every time is
rounded to the nearest tick ``n / fps``, halves away from zero. Of the frames rounded to one tick the last is
put out; a tick without a frame repeats the one before; output begins at the first frame's tick and ends
before the tick that the end of the last frame is rounded to. A short video may so have no frame at all:
then its first frame is taken, which the filter does not.
"""

from fractions import Fraction
from math import floor

from vfm.video2token.sampling.sampler import Frame, Sampler, TickFrame


class FpsFilterSampler(Sampler[Frame]):
    """Gives the frames that ``-vf fps=N`` puts out, at the times of its ticks.

    Args:
        fps: N.
        origin: what counts as time zero, in units of the time base: the container's start, from which the
            ``ffmpeg`` command counts.
    """

    def __init__(
        self,
        *,
        fps: Fraction,
        time_base: Fraction,
        max_frames: int,
        start_s: Fraction = Fraction(0),
        end_s: Fraction | None = None,
        origin: int = 0,
    ) -> None:
        super().__init__(time_base=time_base, max_frames=max_frames, start_s=start_s, end_s=end_s)
        self.step_s = 1 / fps
        self._origin = origin
        self._next_tick: int | None = None
        self._first: TickFrame[Frame] | None = None
        self._last_gap = 0

    def _until(self, before: TickFrame[Frame], shown: TickFrame[Frame]) -> list[TickFrame[Frame]]:
        self._last_gap = shown.pts - before.pts
        return self._fill(before, until_pts=shown.pts)

    def _rest(self, shown: TickFrame[Frame]) -> list[TickFrame[Frame]]:
        ticks = self._fill(shown, until_pts=shown.pts + (self._own_duration or self._last_gap))
        if self._num_given or ticks or self._first is None:
            return ticks
        self._refuse_more_than_allowed(1)
        return [self._first]

    def _fill(self, shown: TickFrame[Frame], *, until_pts: int) -> list[TickFrame[Frame]]:
        """Return the shown frame once for every tick before the one that ``until_pts`` is rounded to."""
        if shown.pts < self.first_pts + self._start or self._is_over(shown.pts):
            return []
        if self._next_tick is None:
            self._next_tick, self._first = self._tick_of(Fraction(shown.pts)), shown
        end = Fraction(until_pts)
        if self._end is not None:
            end = min(end, self.first_pts + self._end)
        count = max(0, self._tick_of(end) - self._next_tick)
        self._refuse_more_than_allowed(count)
        ticks = range(self._next_tick, self._next_tick + count)
        self._next_tick += count
        return [shown._replace(tick_s=self._time_of(tick)) for tick in ticks]

    def _tick_of(self, pts: Fraction) -> int:
        assert self.step_s is not None
        tick = (pts - self._origin) * self._time_base / self.step_s
        return floor(tick + Fraction(1, 2)) if tick >= 0 else -floor(Fraction(1, 2) - tick)

    def _time_of(self, tick: int) -> Fraction:
        assert self.step_s is not None
        return tick * self.step_s + self._origin * self._time_base
