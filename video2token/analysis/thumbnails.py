"""A cheap pass over a video: every frame at 64 x 36 pixels, for signals that need no more."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np
from av.codec.context import Flags2
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from vfm.video2token.analysis.signal import THUMBNAIL_HEIGHT_PX, THUMBNAIL_WIDTH_PX, Thumbnail
from vfm.video2token.container.demuxer import (
    LibavLog,
    capture_log,
    choose_stream,
    open_video,
    raise_memory_error,
)
from vfm.video2token.container.file_check import check_file

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_MAX_READ_FAILURES = 16  # in a row, as in the decoder
_KINDS: dict[PictureType, Literal["I", "P", "B"]] = {
    PictureType.I: "I",
    PictureType.P: "P",
    PictureType.B: "B",
}
# Area averages keep a thin line from flickering; the flags make every CPU compute the same.
_SCALING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # their seeking lands on a keyframe before the time
_MIN_SEEK_S = 5.0  # decoding less than this is as fast as seeking
_SEEK_MARGIN_S = 1.0  # containers seek by the time of decoding, which is a little before that of showing


def thumbnails(
    path: str,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    size_bytes: int = -1,
    wants_vectors: bool = False,
) -> Iterator[Thumbnail]:
    """Yield the frames of a video, or of a segment of it, in the order they are shown.

    Frames that cannot be decoded are left out: it is the decoder that judges damage.

    Args:
        path: absolute.
        start_s: begin of the segment, seconds from the video's first frame; None for its begin.
        end_s: its end, which is no longer part of it; None for the video's end.
        size_bytes: size of the file that the plan counted with, -1 when it is not to be compared.
        wants_vectors: export the codec's motion vectors, where it has any.

    Raises:
        VideoRejected: the file cannot be opened, or holds no video.
        MemoryError: decoding takes more memory than there is.
    """
    facts = check_file(path, size_bytes=size_bytes)
    with capture_log() as log, open_video(path, facts=facts, log=log) as container:
        stream, time_base = choose_stream(container)
        context = stream.codec_context
        # In-loop deblocking is invisible at this size and a fifth of the work. Set before the codec opens.
        context.options = {**context.options, "skip_loop_filter": "all"}
        if wants_vectors:
            context.flags2 |= Flags2.export_mvs
        yield from _small(
            _timed(container, stream=stream, time_base=time_base, log=log, start_s=start_s or 0.0),
            start_s=start_s,
            end_s=end_s,
        )


def _small(
    frames: "Iterator[tuple[VideoFrame, float]]", *, start_s: float | None, end_s: float | None
) -> Iterator[Thumbnail]:
    scaler = VideoReformatter()
    for frame, time_s in frames:
        if start_s is not None and time_s < start_s:
            continue
        if end_s is not None and time_s >= end_s:
            return
        small = scaler.reformat(
            frame, THUMBNAIL_WIDTH_PX, THUMBNAIL_HEIGHT_PX, "yuv444p", interpolation=_SCALING, threads=1
        )
        vectors = frame.side_data.get("MOTION_VECTORS")
        yield Thumbnail(
            time_s=time_s,
            yuv=small.to_ndarray().astype(np.uint8, copy=False),
            kind=_KINDS.get(PictureType(frame.pict_type), ""),
            vectors=None if vectors is None else vectors.to_ndarray(),
            width_px=frame.width,
            height_px=frame.height,
        )


def _timed(
    container: "InputContainer", *, stream: "VideoStream", time_base: Fraction, log: LibavLog, start_s: float
) -> "Iterator[tuple[VideoFrame, float]]":
    """Yield frames with their seconds from the first; a time that does not grow goes on from the last.

    Frames before ``start_s`` may be left out.
    """
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    step = max(1, round(1 / (rate * time_base)))
    frames = _decoded(container, stream=stream, log=log)
    frame = next(frames, None)
    if frame is None:
        return
    first = frame.pts or 0
    if start_s >= _MIN_SEEK_S and container.format.name in _SEEKABLE:
        target = first + int((start_s - _SEEK_MARGIN_S) / time_base)
        frames = _decoded_from(target, container, stream=stream, log=log)
        frame = next(frames, frame)
    last, shift = first - step, 0
    for each in chain([frame], frames):
        pts = last + step if each.pts is None else each.pts + shift
        if pts <= last:
            shift += last + step - pts
            pts = last + step
        last = pts
        yield each, round(float((pts - first) * time_base), 6)


def _decoded_from(
    target: int, container: "InputContainer", *, stream: "VideoStream", log: LibavLog
) -> "Iterator[VideoFrame]":
    """Yield the frames from a keyframe before ``target``, from the first when seeking misses it."""
    container.seek(target, stream=stream)
    frames = _decoded(container, stream=stream, log=log)
    landed = next(frames, None)
    if landed is not None and landed.pts is not None and landed.pts <= target:
        yield landed
        yield from frames
        return
    container.seek(0)
    yield from _decoded(container, stream=stream, log=log)


def _decoded(container: "InputContainer", *, stream: "VideoStream", log: LibavLog) -> "Iterator[VideoFrame]":
    num_failures = 0
    while num_failures < _MAX_READ_FAILURES:
        try:
            for packet in container.demux(stream):
                num_failures = 0
                if packet.size:  # an empty packet would end the decoding
                    yield from _decode(packet, stream=stream, log=log)
            break
        except av.FFmpegError:
            num_failures += 1
    yield from _decode(None, stream=stream, log=log)


def _decode(packet: Any, *, stream: "VideoStream", log: LibavLog) -> "list[VideoFrame]":
    frames: list[VideoFrame] = []
    try:
        frames = stream.codec_context.decode(packet)
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError):
        pass  # the decoder counts it as damage
    raise_memory_error(log)
    log.clear()
    return frames
