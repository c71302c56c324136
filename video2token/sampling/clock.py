"""Where a video begins and ends."""

from fractions import Fraction

from vfm.video2token.sampling.sampler import Sampler, TickFrame


class ShownSpan(Sampler[None]):
    """Takes no frame; tells where a video begins and ends."""

    def __init__(self, time_base: Fraction) -> None:
        super().__init__(time_base=time_base, max_frames=0)

    def _until(self, before: TickFrame[None], shown: TickFrame[None]) -> list[TickFrame[None]]:
        return []

    def _rest(self, shown: TickFrame[None]) -> list[TickFrame[None]]:
        return []
