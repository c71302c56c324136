"""Decodes only what the wanted frames depend on, and gives up at the first sign that this is not exact.

What comes out of the decoder is compared with what went in: a picture for every packet that promises one, in
the order of their times, without an error. Whatever differs ends in ``NotSelectableError``, and the video is
then decoded whole.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import av
import numpy as np

from vfm.video2token.container.bitstream.facts import NotSelectableError
from vfm.video2token.container.demuxer import LibavLog, raise_memory_error
from vfm.video2token.container.packets import Packets
from vfm.video2token.decoding.dependencies import PacketSelection, shown

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


def wanted_frames(  # noqa: PLR0913 (what it reads, what it asks of it, and who listens)
    stream: "Iterable[Packet[VideoStream]]",
    *,
    context: "VideoCodecContext",
    packets: Packets,
    selection: PacketSelection,
    wanted_pts: np.ndarray,
    log: LibavLog,
) -> "Iterator[VideoFrame]":
    """Yield the frames at ``wanted_pts``, ascending.

    Args:
        stream: the packets, again or still.
        context: the decoder, not used yet.
        packets: what was read of them before.
        selection: which of them are decoded.
        wanted_pts: presentation times, ascending, each the time of a shown picture.
        log: receives libav's messages.

    Raises:
        NotSelectableError: the decoder gave something else than the packets promised.
    """
    is_due = selection.decode & shown(packets)
    check = _Check(np.sort(np.frombuffer(packets.pts, np.int64)[is_due]))
    wanted = set(wanted_pts.tolist())
    log.clear()
    try:
        for feed in _feed(stream, packets=packets, selection=selection):
            for frame in _decode(context, feed, log=log):
                check.accept(frame)
                if frame.pts in wanted:
                    yield frame
        check.finish()
    finally:
        _empty(context)


class _Check:
    """Compares the decoder's frames with the packets that it was given."""

    def __init__(self, due_pts: np.ndarray) -> None:
        self._due_pts = due_pts  # ascending
        self._num_seen = 0
        self._size: tuple[int, int] | None = None

    def accept(self, frame: "VideoFrame") -> None:
        if frame.is_corrupt:
            raise NotSelectableError("decoding errors")
        if self._num_seen == len(self._due_pts) or frame.pts != self._due_pts[self._num_seen]:
            raise NotSelectableError("pictures in another order than the packets' times")
        size = (frame.width, frame.height)
        if self._size not in {None, size}:
            raise NotSelectableError("the stream changes midway")
        self._num_seen += 1
        self._size = size

    def finish(self) -> None:
        if self._num_seen < len(self._due_pts):
            raise NotSelectableError("packets without a picture")


def _feed(
    stream: "Iterable[Packet[VideoStream]]", *, packets: Packets, selection: PacketSelection
) -> "Iterator[Packet[VideoStream] | None]":
    """Yield what the decoder is to be given; None asks for what it owes, and ends what it knows.

    Raises:
        NotSelectableError: a packet has another time than in the first reading.
    """
    # Letters as in `packets_needed`; B-frames make a decoder hold pictures back, so a None stands wherever
    # the next packet does not follow from those before it:
    #
    #   packets     I  P  b  C  L  L  P    I  P
    #   selected    I  P  .  C  L  .  .   !I  P
    #   given       I  P     C  L   None   I  P   None
    steps = selection.decode + 2 * selection.flush_before
    is_begun = False
    for packet, step, pts in zip(stream, steps.tolist(), packets.pts, strict=False):
        if not step:
            continue
        if packet.pts is not None and packet.pts != pts:
            raise NotSelectableError("a second reading that differs from the first")
        if step & 2 and is_begun:
            yield None
        is_begun = True
        yield packet
    yield None


def _decode(
    context: "VideoCodecContext", packet: "Packet[VideoStream] | None", *, log: LibavLog
) -> "list[VideoFrame]":
    try:
        frames = context.decode(packet)
        if packet is None:
            context.flush_buffers()
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError):
        raise_memory_error(log)
        raise NotSelectableError("decoding errors") from None
    if log:
        raise_memory_error(log)
        raise NotSelectableError("decoding errors")
    return frames


def _empty(context: "VideoCodecContext") -> None:
    """Give the decoder's pictures back, and let its threads come to rest before it is closed.

    A thread that reports an error needs the interpreter's lock, which closing would hold while it waits.
    """
    with suppress(av.FFmpegError, ValueError):
        context.decode(None)
    with suppress(av.FFmpegError, ValueError):
        context.flush_buffers()
