"""Takes packed B-frames of MPEG-4 apart, as DivX and Xvid write them into AVI.

AVI knows one picture in, one picture out. A B-picture needs the later picture first, so that both stand in
one chunk, and a picture that is not coded holds the place of the second. libavcodec shows all of them only
where the stream marks itself, and gives them times by the order of decoding.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, cast

import av

from vfm.video2token.container.bitstream.mpeg4 import PICTURE_CODE, Mpeg4Reader, Picture

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_MARK = re.compile(rb"\x00\x00\x01\xb2DivX\d+(?:Build|b)\d+p")


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """A packet that is to be given.

    Attributes:
        rank: of its picture among those shown; None while it is not known.
        is_shown: it has a picture.
    """

    packet: "Packet[VideoStream]"
    rank: int | None = None
    is_shown: bool = True


class Unpacker:
    """Makes packets of one picture each, in the order of decoding, with the times at which they are shown.

    Streams of other codecs, and packets before the first that holds several pictures, pass as they are.

    Args:
        stream: that the packets are of.

    Attributes:
        is_packed: a packet held several pictures.
        is_marked: the stream says so of itself.
        is_regular: a place followed for each picture without one, before the next of them.
    """

    # I, P: a picture and one predicted from it; b: a B-picture; n: not coded, holds a place. A picture is
    # shown when a place is free: the B-pictures at once, the others when the next of their kind has come.
    #
    #   chunks      I   P b   n   P b   b   n   P
    #   place       1    2    3    4    5   6   7
    #   given       I  P3 b2     P6 b4  b5      P7

    def __init__(self, stream: "VideoStream") -> None:
        context = stream.codec_context
        extradata = bytes(context.extradata or b"")
        is_mpeg4 = context.codec.canonical_name == "mpeg4"
        self.is_packed = False
        self.is_marked = _MARK.search(extradata) is not None
        self.is_regular = True
        self._reader = Mpeg4Reader(extradata) if is_mpeg4 else None
        self._shift: int | None = None  # from decoding to showing, of the first packet
        self._place: int | None = None  # when the latest packet's picture is shown, were it not packed
        self._step = 1
        self._is_owed = False  # a place, for a picture that had none
        self._waiting: list[_Waiting] = []  # in the order of decoding
        self._latest: _Waiting | None = None  # the last that is no B-picture, not ranked yet
        self._places: dict[int, int] = {}  # times by rank
        self._num_places = self._num_pictures = self._num_ranked = 0

    @property
    def can_be_packed(self) -> bool:
        """Whether the codec is the one whose packets may hold several pictures."""
        return self._reader is not None

    def __call__(self, packets: "Iterable[Packet[VideoStream]]") -> "Iterator[Packet[VideoStream]]":
        """Yield the packets of a stream, none of them empty, one picture each."""
        if self._reader is None:
            yield from packets
            return
        before: Packet[VideoStream] | None = None  # looked at only where a packed one follows
        for packet in packets:
            data = bytes(packet)
            if self.is_packed or self._is_first_packed(data, self._reader):
                if before is not None:
                    self._note_time(before)
                    before = None
                yield from self._take(packet, self._reader.pictures(data))
                continue
            if self._shift is None:
                self._note_time(packet)
            before = packet
            yield packet
        yield from self._rest()

    def _is_first_packed(self, data: bytes, reader: Mpeg4Reader) -> bool:
        first = data.find(PICTURE_CODE)
        if first > 0:
            reader.heed(data[:first])
            self.is_marked |= _MARK.search(data, 0, first) is not None
        self.is_packed = data.rfind(PICTURE_CODE) > first  # from the end: twice as fast
        return self.is_packed

    def _note_time(self, packet: "Packet[VideoStream]") -> None:
        pts, dts = packet.pts, packet.dts
        if dts is None or pts is None:
            return
        if self._shift is None:
            self._shift = pts - dts
        self._place, self._step = dts + self._shift, packet.duration or self._step

    def _take(self, packet: "Packet[VideoStream]", pictures: list[Picture]) -> "list[Packet[VideoStream]]":
        """Note a packet, and return those that are ready."""
        if packet.dts is None or packet.pts is None:
            return [*self._rest(), packet]
        before = self._place
        self._note_time(packet)
        assert self._place is not None
        if self._is_owed and not any(picture.is_coded for picture in pictures):
            self._is_owed = False
            self._fill_up([self._place])
            return self._ready()  # without this packet: it only held the place
        self._note_debt(pictures)
        if before is not None:
            self._fill_up(range(before + self._step, self._place, self._step))
        if any(picture.is_coded for picture in pictures):
            self._add_place(self._place)
        self._wait_for_parts(packet, pictures)
        return self._ready()

    def _note_debt(self, pictures: list[Picture]) -> None:
        """Take note whether a place is still to come for a picture of a packet with several."""
        is_lone_b = len(pictures) == 1 and pictures[0].is_bidirectional
        if self._is_owed and pictures and not is_lone_b:
            self.is_regular = False
        self._is_owed |= len(pictures) > 1

    def _wait_for_parts(self, packet: "Packet[VideoStream]", pictures: list[Picture]) -> None:
        if len(pictures) < 2:
            self._wait(packet, pictures[0] if pictures else None)
            return
        for picture in pictures:
            self._wait(_part(packet, picture, is_first=picture is pictures[0]), picture)

    def _wait(self, packet: "Packet[VideoStream]", picture: Picture | None) -> None:
        """Put a packet into the line, and rank what is certain to be shown before any packet behind it."""
        waiting = _Waiting(packet=packet, is_shown=picture is not None and picture.is_coded)
        self._waiting.append(waiting)
        self._num_pictures += waiting.is_shown
        if picture is not None and picture.is_bidirectional:
            self._rank(waiting)
            return
        self._rank(self._latest)
        self._latest = waiting

    def _rank(self, waiting: _Waiting | None) -> None:
        if waiting is not None and waiting.is_shown and waiting.rank is None:
            waiting.rank = self._num_ranked
            self._num_ranked += 1

    def _add_place(self, pts: int) -> None:
        self._places[self._num_places] = pts
        self._num_places += 1

    def _fill_up(self, places: Iterable[int]) -> None:
        """Show pictures that wait for a place where the container has no packet."""
        for pts in places:
            if self._num_places >= self._num_pictures:
                return
            self._add_place(pts)

    def _ready(self) -> "list[Packet[VideoStream]]":
        """Return the packets from the head of the line whose times are known."""
        num_ready = 0
        for waiting in self._waiting:
            if waiting.is_shown:
                if waiting.rank not in self._places:
                    break
                waiting.packet.pts = self._places.pop(waiting.rank)
            num_ready += 1
        ready, self._waiting = self._waiting[:num_ready], self._waiting[num_ready:]
        return [waiting.packet for waiting in ready]

    def _rest(self) -> "list[Packet[VideoStream]]":
        """Return what is left at the end; pictures without a place follow the last one."""
        self._rank(self._latest)
        if self._place is not None:
            self._fill_up(count(self._place + self._step, self._step))
        return self._ready()


def _part(packet: "Packet[VideoStream]", picture: Picture, *, is_first: bool) -> "Packet[VideoStream]":
    """Return a packet of one picture."""
    # Filled afterwards: a packet made of bytes lacks the zeros behind them that decoders read.
    part = cast("Packet[VideoStream]", av.Packet(len(picture.data)))
    part.update(picture.data)
    part.time_base = packet.time_base
    part.dts, part.duration = packet.dts, packet.duration
    part.is_keyframe = picture.is_intra
    part.is_corrupt = packet.is_corrupt and is_first
    return part
