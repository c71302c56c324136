"""The first pass over a video: what its packets say of themselves, before anything is decoded."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av
import numpy as np

from vfm.video2token.bitstream import PacketFacts, UnfitError
from vfm.video2token.container import Log
from vfm.video2token.headers import reader_for

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

NO_TIME = -(1 << 63)  # FFmpeg's own mark of a time that is not there
_MAX_READ_FAILURES = 16  # in a row; a demuxer that fails at one packet often finds the next
_MAX_HELD_BYTES = 64 << 20  # packets of a short video are kept, so that it is read once
_PACKET_COST_BYTES = 1 << 10  # of a packet beside its data


@dataclass(slots=True, kw_only=True)
class Packets:
    """What the packets of one stream say of themselves, in the order of decoding.

    Attributes:
        pts: presentation times in units of the time base, int64; ``NO_TIME`` where there is none.
        duration: how long each is shown, int64; 0 where it does not say.
        facts: what the bitstream says of each; empty where all must be decoded.
        is_keyframe: the container's flag, as bool, one byte each.
        is_dropped: decoded and not shown, because an edit list or the container says so.
        unfit: why all of them must be decoded, empty where nothing speaks against decoding some.
        held: the packets themselves, None where they are too large together.
        num_errors: packets read with errors.
        corrupt_at: places of packets that the container marks as corrupt.
        num_counted: packets as the container counts them.
    """

    pts: "array[int]" = field(default_factory=lambda: array("q"))
    duration: "array[int]" = field(default_factory=lambda: array("q"))
    facts: "bytearray" = field(default_factory=bytearray)
    is_keyframe: bytearray = field(default_factory=bytearray)
    is_dropped: bytearray = field(default_factory=bytearray)
    unfit: str = ""
    held: "list[Packet[VideoStream]] | None" = field(default_factory=list)
    num_errors: int = 0
    corrupt_at: list[int] = field(default_factory=list)
    num_counted: int = 0

    def __len__(self) -> int:
        return len(self.pts)

    def has(self, bit: int) -> np.ndarray:
        """Return bool [packets]: which of them have one of the bits below."""
        return np.frombuffer(self.facts, np.uint8) & bit > 0

    @property
    def num_before_keyframe(self) -> int:
        """How many packets come before the first keyframe; all of them where there is none."""
        first = self.is_keyframe.find(1)
        return len(self) if first < 0 else first


ENTRY, CLEAN, LEADING, REFERENCE, SHOWN, LAYERED = (1 << bit for bit in range(6))


def read_packets(container: "InputContainer", stream: "VideoStream", *, log: Log, select: bool) -> Packets:
    """Read all packets of a stream.

    Args:
        container: just opened.
        stream: the only one that is not discarded.
        log: hears libav.
        select: whether to look into the packets, to decode only some of them.
    """
    packets = Packets()
    context = stream.codec_context
    # libdav1d and others decode the same stream: what counts is the codec, not who decodes it.
    codec = context.codec.canonical_name
    read = reader_for(codec, bytes(context.extradata or b"")) if select else None
    if read is None:
        packets.unfit = f"{codec} is always decoded whole" if select else "it was asked for"
    known: set[bytes] = set()
    held_bytes = 0
    for packet in demux(container, stream, packets=packets, log=log):
        _note(packets, packet)
        if read is not None and not packets.unfit:
            try:
                facts = read(bytes(packet))
                _check(packet, facts, known=known, is_first=len(packets) == 1)
                packets.facts.append(_bits(facts))
            except (UnfitError, IndexError) as error:
                packets.unfit = str(error) if isinstance(error, UnfitError) else "damage in its units"
        if packets.held is not None:
            packets.held.append(packet)
            held_bytes += packet.size + _PACKET_COST_BYTES
            if held_bytes > _MAX_HELD_BYTES:
                packets.held = None
    return packets


def demux(
    container: "InputContainer", stream: "VideoStream", *, packets: Packets, log: Log
) -> "Iterator[Packet[VideoStream]]":
    """Yield the packets that are to be decoded; errors on the way are counted in ``packets``."""
    num_failures = 0
    log.clear()  # what was said while probing is said again
    while num_failures < _MAX_READ_FAILURES:
        try:
            for packet in container.demux(stream):
                num_failures = 0
                packets.num_errors += bool(log)
                log.clear()
                packets.num_counted += packet.pts is not None or packet.size > 0
                if packet.size:  # an empty packet would end the decoding
                    yield packet
            return
        except IndexError:
            return  # PyAV's, after the last packet, where streams appeared on the way
        except av.FFmpegError:
            num_failures += 1
            packets.num_errors += 1
            log.clear()


def _note(packets: Packets, packet: "Packet[VideoStream]") -> None:
    if packet.is_corrupt:
        packets.corrupt_at.append(len(packets))
    packets.pts.append(NO_TIME if packet.pts is None else packet.pts)
    packets.duration.append(packet.duration or 0)
    packets.is_keyframe.append(packet.is_keyframe)
    packets.is_dropped.append(packet.is_discard)


def _check(packet: "Packet[VideoStream]", facts: PacketFacts, *, known: set[bytes], is_first: bool) -> None:
    """Refuse streams that change on their way: a packet left out could be the one that changes them."""
    if is_first:
        known.update(facts.parameters)
        if not facts.is_entry:
            raise UnfitError("it begins with no keyframe")
    elif not known.issuperset(facts.parameters):
        raise UnfitError("the stream changes on its way")
    if not is_first and facts.is_entry and packet.has_sidedata("new_extradata"):
        raise UnfitError("the stream changes on its way")


def _bits(facts: PacketFacts) -> int:
    return (
        facts.is_entry * ENTRY
        | facts.is_clean * CLEAN
        | facts.is_leading * LEADING
        | facts.is_reference * REFERENCE
        | facts.is_shown * SHOWN
        | facts.is_layered * LAYERED
    )
