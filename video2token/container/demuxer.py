"""Opens a video with PyAV so that it can reach no other file, and captures libav's messages about it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import av
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from vfm.video2token.container.file_check import FileFacts
from vfm.video2token.rejection import RejectReason, VideoRejected

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_SOURCE_PIXELS = 1 << 26  # 8192 x 8192: nothing larger is allocated for a picture

# The list of formats is what keeps a playlist from opening other files; the list of protocols alone does not.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,"
    "h264,hevc,m4v,obu,ivf,mxf,dv,rm,yuv4mpegpipe"
)
_NO_MEMORY = re.compile(
    r"get_buffer\(\) failed|Cannot allocate memory|alloc\w* (buffer )?(memory )?fail", re.IGNORECASE
)
_NO_PICTURE = re.compile(r"invalid|exceeds|Picture size", re.IGNORECASE)  # a size no memory would do for

LibavLog = list[tuple[int, str, str]]


@contextmanager
def capture_log() -> Iterator[LibavLog]:
    """Collect what libav reports as errors: it conceals most damage and says so only in its log."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture(local=False) as log:  # of the decoder's threads too
            yield log
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)


def open_video(path: str, *, facts: FileFacts, log: LibavLog) -> "InputContainer":
    """Open a video of a whitelisted format, and nothing that it may name.

    Raises:
        VideoRejected: with reason truncated, bad_container or not_video.
    """
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": FORMATS,
        "max_pixels": str(MAX_SOURCE_PIXELS),
    }
    try:
        # "file:" keeps names such as "concat:x" or "http:x" from being read as protocols.
        return av.open(f"file:{path}", mode="r", options=options, metadata_errors="replace")
    except av.FFmpegError:
        if facts.is_cut:
            raise VideoRejected(
                RejectReason.TRUNCATED, "The file is truncated: its index points past the end."
            ) from None
        if facts.is_known:
            told = f" ({log[-1][2].strip()})" if log else ""
            raise VideoRejected(RejectReason.BAD_CONTAINER, f"The container cannot be read{told}.") from None
        raise VideoRejected(RejectReason.NOT_VIDEO, "Not a video, or in a format vfm cannot read.") from None


def raise_memory_error(log: LibavLog) -> None:
    """Raise MemoryError when libav said that it got no memory, which it passes on as damaged data.

    Otherwise the frames of a sample would depend on how much memory the machine gave.
    """
    told = " ".join(message for _, _, message in log)
    if _NO_MEMORY.search(told) and not _NO_PICTURE.search(told):
        raise MemoryError


def choose_stream(container: "InputContainer") -> "tuple[VideoStream, Fraction]":
    """Return the stream to decode and its time base; all other streams are not even read."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise VideoRejected(RejectReason.NO_VIDEO, "The file has no video stream.")
    if stream.codec_context is None:
        raise VideoRejected(RejectReason.UNSUPPORTED, "Its video codec is not one that PyAV decodes.")
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    stream.codec_context.thread_count = 1  # the job runs one process per core
    stream.codec_context.options = {"max_pixels": str(MAX_SOURCE_PIXELS)}
    return stream, stream.time_base or Fraction(1, 90_000)


class OpenedVideo(NamedTuple):
    """A container and the video stream in it that is read."""

    container: "InputContainer"
    stream: VideoStream
