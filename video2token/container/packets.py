"""The first pass over a video: what its packets say of themselves, before anything is decoded."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from vfm.video2token.container.bitstream.codecs import reader_for
from vfm.video2token.container.bitstream.facts import NotSelectableError, PacketFacts
from vfm.video2token.container.bitstream.zeros import ZeroCount
from vfm.video2token.container.demuxer import LibavLog
from vfm.video2token.container.empty_chunks import num_missing
from vfm.video2token.container.packed import Unpacker

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
        obstacle: why all of them must be decoded, empty where nothing speaks against decoding some.
        cached: the packets themselves, None where they are too large together.
        num_errors: packets read with errors.
        corrupt_at: places of packets that the container marks as corrupt.
        zeros: how many have zeros where their codec has none.
        num_counted: packets as the container counts them.
        num_missing: packets that the container promises and does not have.
        is_packed: some held several pictures, which were taken apart.
        is_whole: read to the end, not only as far as a segment reaches.
    """

    pts: "array[int]" = field(default_factory=lambda: array("q"))
    duration: "array[int]" = field(default_factory=lambda: array("q"))
    facts: "bytearray" = field(default_factory=bytearray)
    is_keyframe: bytearray = field(default_factory=bytearray)
    is_dropped: bytearray = field(default_factory=bytearray)
    obstacle: str = ""
    cached: "list[Packet[VideoStream]] | None" = field(default_factory=list)
    num_errors: int = 0
    corrupt_at: list[int] = field(default_factory=list)
    zeros: ZeroCount = field(default_factory=ZeroCount)
    num_counted: int = 0
    num_missing: int = 0
    is_packed: bool = False
    is_whole: bool = True

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


def read_packets(
    container: "InputContainer",
    stream: "VideoStream",
    *,
    log: LibavLog,
    select: bool,
    end_s: float | None = None,
) -> Packets:
    """Read the packets of a stream.

    Args:
        container: just opened.
        stream: the only one that is not discarded.
        log: receives libav's messages.
        select: whether to look into the packets, to decode only some of them.
        end_s: where the segment ends that is wanted, seconds from the first frame; None: read all.
    """
    reader = PacketReader(stream, select=select)
    is_behind = Behind(end_s, time_base=stream.time_base)
    for packet in demux(container, stream, packets=reader.packets, log=log):
        reader.take(packet)
        if is_behind(packet):
            reader.packets.is_whole = False
            return reader.packets
    reader.packets.num_missing = num_missing(container, stream, num_packets=reader.packets.num_counted)
    return reader.packets


class PacketReader:
    """Takes packets in the order of decoding and notes what they say.

    Args:
        stream: theirs, not decoded yet.
        select: whether to look into the packets, to decode only some of them.

    Attributes:
        packets: what was noted so far.
    """

    def __init__(self, stream: "VideoStream", *, select: bool) -> None:
        context = stream.codec_context
        # libdav1d and others decode the same stream: what counts is the codec, not who decodes it.
        codec, extradata = context.codec.canonical_name, bytes(context.extradata or b"")
        self.packets = Packets(zeros=ZeroCount(codec, extradata))
        self._read = reader_for(codec, extradata) if select else None
        if self._read is None:
            self.packets.obstacle = f"{codec} is always decoded whole" if select else "it was asked for"
        self._known: set[bytes] = set()
        self._held_bytes = 0

    def take(self, packet: "Packet[VideoStream]") -> None:
        """Note the next packet, and keep it while all are few."""
        packets = self.packets
        _note(packets, packet)
        packets.zeros.take(packet)
        if self._read is not None and not packets.obstacle:
            try:
                facts = self._read(bytes(packet))
                _check(packet, facts, known=self._known, is_first=len(packets) == 1)
                packets.facts.append(_bits(facts))
            except (NotSelectableError, IndexError) as error:
                packets.obstacle = (
                    str(error) if isinstance(error, NotSelectableError) else "damage in its units"
                )
        if packets.cached is not None:
            packets.cached.append(packet)
            self._held_bytes += packet.size + _PACKET_COST_BYTES
            if self._held_bytes > _MAX_HELD_BYTES:
                packets.cached = None


class Behind:
    """Tells when all packets that a segment needs are read."""

    _MARGIN_S = 1  # frames before the first packet's time, and a last frame's duration
    _MIN_IN_A_ROW = 16  # one time that is wrong must not cut the segment

    def __init__(self, end_s: float | None, *, time_base: Fraction | None) -> None:
        self._end = None if end_s is None or not time_base else (end_s + self._MARGIN_S) / time_base
        self._first_pts: int | None = None
        self._num_in_a_row = 0

    def __call__(self, packet: "Packet[VideoStream]") -> bool:
        """Take the next packet; no packet behind it is shown earlier than it is decoded."""
        if self._end is None or packet.dts is None or packet.pts is None:
            return False
        self._first_pts = packet.pts if self._first_pts is None else self._first_pts
        self._num_in_a_row = self._num_in_a_row + 1 if packet.dts - self._first_pts > self._end else 0
        return self._num_in_a_row >= self._MIN_IN_A_ROW


def demux(
    container: "InputContainer", stream: "VideoStream", *, packets: Packets, log: LibavLog
) -> "Iterator[Packet[VideoStream]]":
    """Yield the packets that are to be decoded, one picture each; errors are counted in ``packets``."""
    demuxed = _demux(container, stream, packets=packets, log=log)
    unpacker = Unpacker(stream)
    return _unpacked(demuxed, unpacker, packets=packets) if unpacker.can_be_packed else demuxed


def _unpacked(
    demuxed: "Iterator[Packet[VideoStream]]", unpacker: Unpacker, *, packets: Packets
) -> "Iterator[Packet[VideoStream]]":
    for packet in unpacker(demuxed):
        packets.is_packed = unpacker.is_packed
        yield packet


def _demux(
    container: "InputContainer", stream: "VideoStream", *, packets: Packets, log: LibavLog
) -> "Iterator[Packet[VideoStream]]":
    num_failures = 0
    # What decoders said while probing they say again; what the demuxer said of the head it says once.
    log[:] = [said for said in log if said[1] == container.format.name]
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
            raise NotSelectableError("it begins with no keyframe")
    elif not known.issuperset(facts.parameters):
        raise NotSelectableError("the stream changes midway")
    if not is_first and facts.is_entry and packet.has_sidedata("new_extradata"):
        raise NotSelectableError("the stream changes midway")


def _bits(facts: PacketFacts) -> int:
    return (
        facts.is_entry * ENTRY
        | facts.is_clean * CLEAN
        | facts.is_leading * LEADING
        | facts.is_reference * REFERENCE
        | facts.is_shown * SHOWN
        | facts.is_layered * LAYERED
    )
