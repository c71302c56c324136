"""Decodes only what the wanted frames depend on, and gives up at the first sign that this is not exact.

What comes out of the decoder is compared with what went in: a picture for every packet that promises one, in
the order of their times, without an error. Whatever differs ends in ``UnfitError``, and the video is then
decoded whole.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import av
import numpy as np

from vfm.video2token.bitstream import UnfitError
from vfm.video2token.container import Log, raise_memory_error
from vfm.video2token.packets import Packets
from vfm.video2token.wanted import Selection, shown

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


def wanted_frames(  # noqa: PLR0913 (what it reads, what it asks of it, and who listens)
    stream: "Iterable[Packet[VideoStream]]",
    context: "VideoCodecContext",
    *,
    packets: Packets,
    selection: Selection,
    wanted_pts: np.ndarray,
    log: Log,
) -> "Iterator[VideoFrame]":
    """Yield the frames at ``wanted_pts``, ascending.

    Args:
        stream: the packets, again or still.
        context: the decoder, not used yet.
        packets: what was read of them before.
        selection: which of them are decoded.
        wanted_pts: presentation times, ascending, each the time of a shown picture.
        log: hears libav.

    Raises:
        UnfitError: the decoder gave something else than the packets promised.
    """
    pts = np.frombuffer(packets.pts, np.int64)
    is_due = selection.feed & shown(packets)
    check = _Check(set(pts[is_due].tolist()))
    wanted = set(wanted_pts.tolist())
    for feed in _feed(stream, packets=packets, selection=selection):
        for frame in _decode(context, feed, log=log):
            check.accept(frame)
            if frame.pts in wanted:
                yield frame
    check.finish()


class _Check:
    """Compares the decoder's frames with the packets that it was given."""

    def __init__(self, due_pts: set[int]) -> None:
        self._due_pts = due_pts
        self._last_pts: int | None = None
        self._size = (0, 0)

    def accept(self, frame: "VideoFrame") -> None:
        if frame.is_corrupt:
            raise UnfitError("decoding errors")
        if frame.pts is None or frame.pts not in self._due_pts:
            raise UnfitError("pictures that no packet promised")
        self._due_pts.remove(frame.pts)
        if self._last_pts is not None and frame.pts < self._last_pts:
            raise UnfitError("times that run backwards")
        size = (frame.width, frame.height)
        if self._last_pts is not None and size != self._size:
            raise UnfitError("the stream changes on its way")
        self._last_pts, self._size = frame.pts, size

    def finish(self) -> None:
        if self._due_pts:
            raise UnfitError("packets without a picture")


def _feed(
    stream: "Iterable[Packet[VideoStream]]", *, packets: Packets, selection: Selection
) -> "Iterator[Packet[VideoStream] | None]":
    """Yield what the decoder is to be given; None asks for what it owes, and ends what it knows."""
    steps = selection.feed + 2 * selection.flush
    is_begun = False
    for packet, step, pts in zip(stream, steps.tolist(), packets.pts, strict=False):
        if not step:
            continue
        if packet.pts is not None and packet.pts != pts:
            raise UnfitError("a second reading that differs from the first")
        if step & 2 and is_begun:
            yield None
        is_begun = True
        yield packet
    yield None


def _decode(
    context: "VideoCodecContext", packet: "Packet[VideoStream] | None", *, log: Log
) -> "list[VideoFrame]":
    try:
        frames = context.decode(packet)
        if packet is None:
            context.flush_buffers()
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError):
        raise_memory_error(log)
        raise UnfitError("decoding errors") from None
    if log:
        raise_memory_error(log)
        raise UnfitError("decoding errors")
    return frames
