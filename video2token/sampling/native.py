"""Every frame, or its head in a segment."""

from vfm.video2token.sampling.sampler import Frame, Sampler, TickFrame


class NativeSampler(Sampler[Frame]):
    """Gives every frame of the segment once; the frame shown at its begin where none begins inside."""

    def _until(self, before: TickFrame[Frame], shown: TickFrame[Frame]) -> list[TickFrame[Frame]]:
        begin = self.first_pts + self._start
        is_shown_at_begin = not self._num_given and self._is_over(shown.pts) and shown.pts > begin
        if self._is_over(before.pts) or (before.pts < begin and not is_shown_at_begin):
            return []
        self._refuse_more_than_allowed(1)
        return [before]

    def _rest(self, shown: TickFrame[Frame]) -> list[TickFrame[Frame]]:
        begin = self.first_pts + self._start
        is_shown_at_begin = not self._num_given and begin < self.end_pts
        if self._is_over(shown.pts) or (shown.pts < begin and not is_shown_at_begin):
            return []
        self._refuse_more_than_allowed(1)
        return [shown]
