"""Which frames a sample takes, from their presentation times: the rules, run before anything is decoded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vfm.video2token.rejection import RejectReason, VideoRejected
from vfm.video2token.sampling.clock import ShownSpan
from vfm.video2token.sampling.copy_times import copy_times
from vfm.video2token.sampling.options import SamplingOptions
from vfm.video2token.sampling.rule import SamplingRule
from vfm.video2token.sampling.sampler import Sampler, TickFrame, TooManyFramesError
from vfm.video2token.sampling.timeline import FrameTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSelection:
    """The frames of a sample.

    Attributes:
        ticks: for each stored frame its place in the times; the same place again where a frame is repeated.
        pts_s: what is stored as the time of each, seconds in the source.
        copy_times_s: when each appears in the stored copy, seconds from the first.
        step_s: time between ticks, seconds; None where the rule has none.
        duration_s: how long the whole video is shown, seconds.
    """

    ticks: tuple[int, ...]
    pts_s: tuple[float, ...]
    copy_times_s: tuple[float, ...]
    step_s: float | None
    duration_s: float


def select_frames(times: FrameTimes, rule: SamplingRule) -> FrameSelection:
    """Return the frames that a rule takes of a video.

    Args:
        times: of all frames, one at least.
        rule: in units of the same time base.

    Raises:
        VideoRejected: with reason too_long, or empty_segment when nothing is shown in the segment.
    """
    sampler, span = rule.sampler(_lengths(times)), ShownSpan(rule.time_base)
    for pts, duration in _lengths(times):
        span.push(None, pts=pts, duration=duration)
    try:
        ticks = _run(times, sampler=sampler)
    except TooManyFramesError:
        raise too_long(rule.options) from None
    duration_s = float((span.end_pts - span.first_pts) * rule.time_base)
    if not ticks:
        told = f"It has no frame from {rule.start_s or 0} s to {rule.end_s or 'its end'}"
        raise VideoRejected(
            RejectReason.EMPTY_SEGMENT, f"{told}: its video is {round(duration_s, 3):g} s long."
        )
    pts_s = [_time_s(shown, rule=rule) for shown in ticks]
    return FrameSelection(
        ticks=tuple(shown.frame for shown in ticks),
        pts_s=tuple(pts_s),
        copy_times_s=copy_times(pts_s, sampler),
        step_s=None if sampler.step_s is None else float(sampler.step_s),
        duration_s=duration_s,
    )


def _lengths(times: FrameTimes) -> Iterator[tuple[int, int]]:
    return zip(times.pts, times.durations, strict=True)


def _run(times: FrameTimes, *, sampler: Sampler[Any]) -> list[TickFrame[int]]:
    ticks: list[TickFrame[int]] = []
    for index, (pts, duration) in enumerate(_lengths(times)):
        ticks += sampler.push(index, pts=pts, duration=duration)
    return ticks + sampler.finish()


def _time_s(shown: TickFrame[int], *, rule: SamplingRule) -> float:
    return round(float(shown.pts * rule.time_base if shown.tick_s is None else shown.tick_s), 6)


def too_long(options: SamplingOptions) -> VideoRejected:
    """Return the rejection of a video that gives more frames than are allowed."""
    rate = "" if options.fps is None else f" at {options.fps} fps"
    return VideoRejected(
        RejectReason.TOO_LONG,
        f"It gives more than {options.max_frames} frames{rate} (--max-frames allows no more).",
    )
