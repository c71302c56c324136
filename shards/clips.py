"""Clips: temporal windows of a sample's stored frames (VIMPAC's sampling, arXiv:2106.11250)."""

import numpy as np

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError

PAD = -1


def random_start(num_frames: int, *, clip_len: int, stride: int, rng: np.random.Generator) -> int:
    """Return the first frame of a training clip: uniform over all that keep the clip inside, or 0."""
    return int(rng.integers(0, _latest_start(num_frames, clip_len=clip_len, stride=stride), endpoint=True))


def spread_starts(num_frames: int, *, clip_len: int, stride: int, num_clips: int) -> list[int]:
    """Return the first frames of the test clips: evenly from the first to the last possible one.

    Clip k of K starts at int(latest · k / max(K - 1, 1)), so a single clip starts at 0.

    Raises:
        UsageError: ``num_clips`` is below 1.
    """
    if num_clips < 1:
        raise UsageError(f"A test needs at least 1 clip, got {num_clips}.")
    latest = _latest_start(num_frames, clip_len=clip_len, stride=stride)
    return [latest * k // max(num_clips - 1, 1) for k in range(num_clips)]


def clip_times(start: int, *, num_frames: int, clip_len: int, stride: int) -> Int64:
    """Return which stored frames a clip holds: int64 [clip_len], ``PAD`` past the sample's end.

    Args:
        start: first frame.
        num_frames: frames the sample has.
        clip_len: frames the clip has.
        stride: stored frames from one of the clip to the next.
    """
    times = start + stride * np.arange(clip_len, dtype=np.int64)
    return np.where(times < num_frames, times, PAD)


def _latest_start(num_frames: int, *, clip_len: int, stride: int) -> int:
    """Return the last start of a whole clip; a clip needs clip_len · stride - stride + 1 frames."""
    if num_frames < 1 or clip_len < 1 or stride < 1:
        raise UsageError(
            f"No clip of {clip_len} frames with stride {stride} comes from {num_frames} frames: "
            "use 1 or more for each."
        )
    return max(num_frames + stride - 1 - clip_len * stride, 0)
