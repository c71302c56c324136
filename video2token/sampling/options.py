"""Which frames of a video are wanted: the rule and its numbers."""

from dataclasses import dataclass
from fractions import Fraction

RULES = ("grid", "native", "uniform", "ffmpeg-fps-filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """A rule that takes frames; ``ExtractOptions`` has checked that its numbers fit.

    Attributes:
        rule: one of ``RULES`` (see ``vfm.video2token.sampling.sampler``).
        fps: ticks per second, None where the rule has no rate.
        num_frames: how many frames a video gives by the rule ``uniform``.
        max_frames: a video that gives more is rejected as ``too_long``.
    """

    rule: str
    fps: float | None
    num_frames: int | None
    max_frames: int

    @property
    def exact_fps(self) -> Fraction:
        """The rate as the decimal that was typed: 29.97 is 2997/100."""
        assert self.fps is not None, "the rule has no rate"
        return Fraction(repr(self.fps))
