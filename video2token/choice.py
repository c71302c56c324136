"""Which frames a sample takes, from their presentation times alone."""

from dataclasses import dataclass
from fractions import Fraction

from vfm.video2token.decoders._base import DecoderRejected, ExtractOptions
from vfm.video2token.outline import FrameTimes
from vfm.video2token.sampling import GridSampler, Shown, TooManyFramesError


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The frames of a sample.

    Attributes:
        ticks: for each stored frame its place in the times; the same place again where a frame is repeated.
        last_s: how long the last of them is shown, seconds.
        duration_s: how long the whole video is shown, seconds.
    """

    ticks: tuple[int, ...]
    last_s: float
    duration_s: float


def choose(
    times: FrameTimes,
    *,
    time_base: Fraction,
    options: ExtractOptions,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Choice:
    """Return the frames at the ticks of the grid, by the rule of ``vfm.video2token.sampling``.

    Args:
        times: of all frames, one at least.
        time_base: seconds per unit of a time.
        options: its ``fps`` and ``max_frames``.
        start_s: where the grid starts, seconds from the first frame; None for the first frame.
        end_s: where it ends, None for the end of the video.

    Raises:
        DecoderRejected: with reason too_long, or no_frames when nothing is shown between the two.
    """
    whole = _sampler(options, time_base=time_base)
    begin = times.pts[0] + _units(start_s or 0.0, time_base)
    end = None if end_s is None else times.pts[0] + _units(end_s, time_base)
    try:
        ticks = _run(_within(times, begin=begin, end=end), sampler=whole)
    except TooManyFramesError:
        raise DecoderRejected(
            "too_long",
            f"It gives more than {options.max_frames} frames at {options.fps} fps "
            "(--max-frames allows no more).",
        ) from None
    if not ticks:
        raise DecoderRejected("no_frames", f"It shows nothing from {start_s} s to {end_s} s.")
    return Choice(
        ticks=tuple(shown.frame for shown in ticks),
        last_s=1 / options.fps,
        duration_s=float((_end(times) - times.pts[0]) * time_base),
    )


def _sampler(options: ExtractOptions, *, time_base: Fraction) -> GridSampler[int]:
    return GridSampler(fps=options.exact_fps, time_base=time_base, max_frames=options.max_frames)


def _units(seconds: float, time_base: Fraction) -> int:
    return round(Fraction(repr(seconds)) / time_base)


def _within(times: FrameTimes, *, begin: int, end: int | None) -> list[tuple[int, int, int]]:
    """Return place, time and duration of the frames shown from ``begin`` to ``end``, cut to that."""
    last_end = _end(times)
    shown = []
    for index, (pts, duration) in enumerate(zip(times.pts, times.durations, strict=True)):
        until = times.pts[index + 1] if index + 1 < len(times.pts) else max(last_end, pts + 1)
        if until <= begin or (end is not None and pts >= end):
            continue
        cut = duration if end is None or pts + duration <= end else end - max(pts, begin)
        shown.append((index, max(pts, begin), cut))
    return shown


def _end(times: FrameTimes) -> int:
    """Return when the last frame stops being shown."""
    gaps = [after - before for before, after in zip(times.pts, times.pts[1:], strict=False)]
    longest = max(gaps, default=times.durations[-1] or 1)
    return times.pts[-1] + min(times.durations[-1] or longest, longest)


def _run(frames: list[tuple[int, int, int]], *, sampler: GridSampler[int]) -> list[Shown[int]]:
    ticks: list[Shown[int]] = []
    for index, pts, duration in frames:
        ticks += sampler.push(index, pts=pts, duration=duration)
    return ticks + sampler.finish()
