"""Clips: which of a sample's stored frames a network is given.

Windows with a fixed step (VIMPAC, arXiv 2106.11250), windows as VideoMAE (arXiv 2203.12602) is finetuned on
them and as MaskFeat (arXiv 2112.09133) is trained on them, and frames spread over the whole sample (UMT,
arXiv 2303.16058, as its published code draws them for Kinetics, Something-Something V2 and captioned videos).
"""

import numpy as np

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError

PAD = -1
TIME_TOLERANCE = 0.2  # share by which the time between frames may differ from the one that is wanted


def nearest_stride(seconds_apart: float, *, fps: float) -> int:
    """Return how many stored frames apart those of a clip come nearest to a time between them, at least 1."""
    return max(round(seconds_apart * fps), 1)


def is_near(seconds_apart: float, *, wanted_s: float) -> bool:
    """Return whether the time between the frames of a clip is within the tolerance of the wanted one."""
    return abs(seconds_apart / wanted_s - 1) <= TIME_TOLERANCE + 1e-9


def random_start(num_frames: int, *, clip_len: int, stride: int, rng: np.random.Generator) -> int:
    """Return the first frame of a training clip: uniform over all that keep the clip inside, or 0."""
    return int(rng.integers(0, _latest_start(num_frames, clip_len=clip_len, stride=stride), endpoint=True))


def middle_start(num_frames: int, *, clip_len: int, stride: int) -> int:
    """Return the first frame of the clip in the middle of a sample, or 0."""
    return _latest_start(num_frames, clip_len=clip_len, stride=stride) // 2


def spread_starts(num_frames: int, *, clip_len: int, stride: int, num_clips: int) -> list[int]:
    """Return the first frames of the test clips: evenly from the first to the last possible one.

    Clip k of K starts at int(latest · k / max(K - 1, 1)), so a single clip starts at 0.

    Raises:
        UsageError: ``num_clips`` is below 1.
    """
    _check_clips(num_clips)
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


def segment_times(num_frames: int, *, clip_len: int, rng: np.random.Generator) -> Int64:
    """Return one frame of each of ``clip_len`` equal segments, int64 [clip_len], ascending.

    For pretraining of UMT, and for training on Something-Something V2. Segments have ⌊num_frames / clip_len⌋
    frames, so those at the end may belong to none; of a sample with fewer than ``clip_len`` frames all are
    frame 0, as in the published code.
    """
    _check_spread(num_frames, clip_len=clip_len)
    length = num_frames // clip_len
    within = rng.integers(0, max(length, 1), size=clip_len)
    return length * np.arange(clip_len, dtype=np.int64) + within


def sparse_times(num_frames: int, *, clip_len: int, rng: np.random.Generator) -> Int64:
    """Return one frame of each of ``clip_len`` segments that reach to the last frame, int64 [clip_len].

    For training on Kinetics: segment i lies between frames round(i · (num_frames - 1) / clip_len), both ends
    included, so that neighbours may draw the same frame.
    """
    borders = _borders(num_frames, clip_len=clip_len)
    return np.minimum(rng.integers(borders[:-1], borders[1:], endpoint=True), num_frames - 1)


def spread_sparse_times(num_frames: int, *, clip_len: int, num_clips: int) -> list[Int64]:
    """Return the clips of a test on Kinetics, each int64 [clip_len]; one clip is that of validation.

    Clip k of K takes the frame int((k + 1) / (K + 1) of a segment) behind the beginning of each segment.
    """
    _check_clips(num_clips)
    starts = _borders(num_frames, clip_len=clip_len)[:-1]
    step = (num_frames - 1) / clip_len / (num_clips + 1)
    return [np.minimum(starts + int(step * (k + 1)), num_frames - 1) for k in range(num_clips)]


def dense_times(num_frames: int, *, clip_len: int, stride: int, rng: np.random.Generator) -> Int64:
    """Return the frames of a clip that VideoMAE is finetuned on, int64 [clip_len].

    They are spread evenly over a window of ``clip_len`` · ``stride`` frames, its end among them but one, so
    that they are a little farther apart than ``stride``. A video that is no longer than a window gives as
    many frames as fit into it, and then its last one.
    """
    _check_spread(num_frames, clip_len=clip_len)
    window = clip_len * stride
    if num_frames <= window:
        inside = np.linspace(0, num_frames, num=num_frames // stride)
        spread, last = np.concatenate([inside, np.full(clip_len - len(inside), num_frames)]), num_frames - 1
    else:
        end = int(rng.integers(window, num_frames))
        spread, last = np.linspace(end - window, end, num=clip_len), end - 1
    times: Int64 = np.minimum(spread.astype(np.int64), last)
    return times


def spread_dense_times(num_frames: int, *, clip_len: int, stride: int, num_clips: int) -> list[Int64]:
    """Return the clips of VideoMAE's test, each int64 [clip_len]: windows of every ``stride``-th frame.

    They begin at equal distances, the last one where it is just whole; a single one, which the published code
    has not, lies in the middle. Past the end the last of these frames is shown again.
    """
    _check_spread(num_frames, clip_len=clip_len)
    _check_clips(num_clips)
    frames = np.arange(0, num_frames, stride, dtype=np.int64)
    latest = max(len(frames) - clip_len, 0)
    step = latest / (num_clips - 1) if num_clips > 1 else 0.0
    starts = [int(k * step) for k in range(num_clips)] if num_clips > 1 else [latest // 2]
    places = np.arange(clip_len)
    return [frames[np.minimum(start + places, len(frames) - 1)] for start in starts]


def linspace_times(num_frames: int, *, clip_len: int, stride: int, rng: np.random.Generator) -> Int64:
    """Return the frames of a clip as PySlowFast draws them for MaskFeat, int64 [clip_len].

    A window of ``clip_len`` · ``stride`` frames begins anywhere, between two frames too, and the clip's are
    spread evenly from its first frame to its last, a little farther apart than ``stride``, rounded down. Past
    the end the last frame is shown again.
    """
    _check_spread(num_frames, clip_len=clip_len)
    start = rng.uniform(0, max(num_frames - clip_len * stride, 0))
    return _linspace(start, num_frames=num_frames, clip_len=clip_len, stride=stride)


def spread_linspace_times(num_frames: int, *, clip_len: int, stride: int, num_clips: int) -> list[Int64]:
    """Return the clips of PySlowFast's test, each int64 [clip_len]; a single one lies in the middle.

    Clip k of K begins at frame k · ⌊(num_frames - clip_len · stride) / (K - 1)⌋.
    """
    _check_spread(num_frames, clip_len=clip_len)
    _check_clips(num_clips)
    latest = max(num_frames - clip_len * stride, 0)
    starts = [latest / 2] if num_clips == 1 else [k * (latest // (num_clips - 1)) for k in range(num_clips)]
    return [_linspace(start, num_frames=num_frames, clip_len=clip_len, stride=stride) for start in starts]


def _linspace(start: float, *, num_frames: int, clip_len: int, stride: int) -> Int64:
    spread = np.linspace(start, start + clip_len * stride - 1, num=clip_len).astype(np.int64)
    return np.minimum(spread, num_frames - 1)


def looped_times(num_frames: int, *, clip_len: int, stride: int, rng: np.random.Generator) -> Int64:
    """Return a clip as MMAction2 draws it, int64 [clip_len]: behind the last frame the first follows."""
    start = random_start(num_frames, clip_len=clip_len, stride=stride, rng=rng)
    return _looped(start, num_frames=num_frames, clip_len=clip_len, stride=stride)


def spread_looped_times(num_frames: int, *, clip_len: int, stride: int, num_clips: int) -> list[Int64]:
    """Return the clips of a test of MMAction2, each int64 [clip_len]; a single one lies in the middle.

    Clip k of K begins at k / (K - 1) of the last possible beginning, a half rounded to the even frame.
    """
    _check_clips(num_clips)
    latest = _latest_start(num_frames, clip_len=clip_len, stride=stride)
    starts = (
        [latest // 2] if num_clips == 1 else [round(k * latest / (num_clips - 1)) for k in range(num_clips)]
    )
    return [_looped(start, num_frames=num_frames, clip_len=clip_len, stride=stride) for start in starts]


def _looped(start: int, *, num_frames: int, clip_len: int, stride: int) -> Int64:
    return (start + stride * np.arange(clip_len, dtype=np.int64)) % num_frames


def spread_ssv2_times(num_frames: int, *, clip_len: int, num_clips: int) -> list[Int64]:
    """Return the clips of a test on Something-Something V2, each int64 [clip_len].

    One clip takes the middle of each of ``clip_len`` segments, that of validation; two share the middles and
    the beginnings between them, every second one.

    Raises:
        UsageError: more clips than two, which the published code has not.
    """
    _check_spread(num_frames, clip_len=clip_len)
    _check_clips(num_clips)
    if num_clips > 2:
        raise UsageError(f"Frames spread as for Something-Something V2 make 1 or 2 clips, got {num_clips}.")
    length = num_frames / clip_len
    begins = length * np.arange(clip_len)
    middles = (length / 2 + begins).astype(np.int64)
    if num_clips == 1:
        return [middles]
    both = np.sort(np.concatenate([middles, begins.astype(np.int64)]))
    return [both[k::2] for k in range(2)]


def parts_times(num_frames: int, *, clip_len: int, rng: np.random.Generator) -> Int64:
    """Return one frame of each of ``clip_len`` parts, int64 [clip_len], for training with captions.

    Part i begins at frame int(i · num_frames / clip_len); its last frame is drawn only where it is the only
    one, as in the published code. Of a sample with fewer frames than ``clip_len`` each is a part, and the
    last one is shown again.
    """
    starts, ends = _parts(num_frames, clip_len=clip_len)
    return _padded(rng.integers(starts, np.maximum(ends - 1, starts + 1)), clip_len=clip_len)


def spread_parts_times(num_frames: int, *, clip_len: int, num_clips: int) -> list[Int64]:
    """Return the clips of a test with captions, each int64 [clip_len]; the published one is one clip.

    Clip k of K takes the frame int((k + 1) / (K + 1) of the way to the last frame) of each part: of one clip
    that is the middle.
    """
    _check_clips(num_clips)
    starts, ends = _parts(num_frames, clip_len=clip_len)
    clips = [starts + (ends - 1 - starts) * (k + 1) // (num_clips + 1) for k in range(num_clips)]
    return [_padded(clip, clip_len=clip_len) for clip in clips]


def _parts(num_frames: int, *, clip_len: int) -> tuple[Int64, Int64]:
    """Return where parts begin and where they end, exclusive, int64 [min(clip_len, num_frames)] each."""
    _check_spread(num_frames, clip_len=clip_len)
    borders = np.linspace(0, num_frames, num=min(clip_len, num_frames) + 1).astype(np.int64)
    return borders[:-1], borders[1:]


def _padded(times: Int64, *, clip_len: int) -> Int64:
    return np.pad(times, (0, clip_len - len(times)), mode="edge")


def _borders(num_frames: int, *, clip_len: int) -> Int64:
    """Return where segments begin, and where the last one ends, int64 [clip_len + 1]."""
    _check_spread(num_frames, clip_len=clip_len)
    # Halves go to the even neighbour, here and in the published code.
    borders: Int64 = np.rint((num_frames - 1) / clip_len * np.arange(clip_len + 1)).astype(np.int64)
    return borders


def _check_spread(num_frames: int, *, clip_len: int) -> None:
    if num_frames < 1 or clip_len < 1:
        raise UsageError(
            f"No clip of {clip_len} frames comes from {num_frames} frames: use 1 or more for each."
        )


def _check_clips(num_clips: int) -> None:
    if num_clips < 1:
        raise UsageError(f"A test needs at least 1 clip, got {num_clips}.")


def _latest_start(num_frames: int, *, clip_len: int, stride: int) -> int:
    """Return the last start of a whole clip; a clip needs clip_len · stride - stride + 1 frames."""
    if num_frames < 1 or clip_len < 1 or stride < 1:
        raise UsageError(
            f"No clip of {clip_len} frames with stride {stride} comes from {num_frames} frames: "
            "use 1 or more for each."
        )
    return max(num_frames + stride - 1 - clip_len * stride, 0)
