"""From options to the sampler that follows them, and the times that it gives."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from vfm.video2token.sampling.clock import ShownSpan
from vfm.video2token.sampling.fps_filter import FpsFilterSampler
from vfm.video2token.sampling.grid import GridSampler
from vfm.video2token.sampling.native import NativeSampler
from vfm.video2token.sampling.options import SamplingOptions
from vfm.video2token.sampling.sampler import Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRule:
    """What is wanted of one video.

    Attributes:
        options: the rule and its numbers.
        time_base: seconds per unit of all times of the video.
        origin: the container's start in these units, where FFmpeg's filter counts from.
        start_s: begin of the segment, seconds from the first frame; None for the video's begin.
        end_s: its end; None for the video's end.
    """

    options: SamplingOptions
    time_base: Fraction
    origin: int = 0
    start_s: float | None = None
    end_s: float | None = None

    @property
    def needs_end(self) -> bool:
        """Whether the end of the video must be known before its first frame can be chosen."""
        return self.options.rule == "uniform"

    def sampler(self, times: Iterable[tuple[int, int]] = ()) -> Sampler[Any]:
        """Return a new sampler.

        Args:
            times: presentation time and duration of each frame, ascending; read where ``needs_end``.
        """
        given: dict[str, Any] = {
            "time_base": self.time_base,
            "max_frames": self.options.max_frames,
            "start_s": exact(self.start_s or 0.0),
            "end_s": None if self.end_s is None else exact(self.end_s),
        }
        if self.options.rule == "native":
            return NativeSampler(**given)
        if self.options.rule == "ffmpeg-fps-filter":
            return FpsFilterSampler(fps=self.options.exact_fps, origin=self.origin, **given)
        if self.options.rule == "uniform":
            return self._uniform(times, given=given)
        return GridSampler(fps=self.options.exact_fps, **given)

    def _uniform(self, times: Iterable[tuple[int, int]], *, given: dict[str, Any]) -> Sampler[Any]:
        count = self.options.num_frames
        assert count is not None, "checked with the options"
        span = ShownSpan(self.time_base)
        for pts, duration in times:
            span.push(None, pts=pts, duration=duration)
        end_s = (span.end_pts - span.first_pts) * self.time_base
        if given["end_s"] is not None:
            end_s = min(end_s, given["end_s"])
        span_s = max(end_s - given["start_s"], self.time_base)
        if given["start_s"] > 0 and end_s <= given["start_s"]:
            return GridSampler(**{**given, "fps": 1 / span_s, "end_s": given["start_s"]})  # nothing is there
        start_s = given["start_s"] + span_s / (2 * count)
        ticks = {"fps": count / span_s, "start_s": start_s, "end_s": None, "num_ticks": count}
        return GridSampler(**{**given, **ticks})


def exact(seconds: float) -> Fraction:
    """Return the decimal that was meant, to the microsecond: 0.8 + 0.4 is 12/10."""
    return Fraction(repr(round(seconds, 6)))
