"""What the bytes of MPEG-4 part 2 say (ISO/IEC 14496-2 6.2): where its pictures begin, and what each is."""

import re
from typing import NamedTuple

from vfm.video2token.container.bitstream.bits import Bits
from vfm.video2token.container.bitstream.facts import NotSelectableError, PacketFacts

_CODE = re.compile(rb"\x00\x00\x01([\x20-\x2f\xb6])", re.DOTALL)
_ANY_CODE = b"\0\0\1"
_PICTURE_CODE = b"\0\0\1\xb6"
_EXTENDED_ASPECT, _GREY_ALPHA = 15, 3
_INTRA, _BIDIRECTIONAL = 0, 2


class Picture(NamedTuple):
    """A picture in a packet.

    Attributes:
        data: its bytes and the headers before it.
        is_intra: it is predicted from no other.
        is_bidirectional: no other is predicted from it, and it is shown before the one it follows.
        is_coded: the decoder gives a picture for it; otherwise the one before is shown on.
    """

    data: bytes
    is_intra: bool
    is_bidirectional: bool
    is_coded: bool


class Mpeg4Reader:
    """Reads the packets of one stream in the order of decoding.

    Args:
        extradata: of the stream; headers inside of packets hold from there on.
    """

    def __init__(self, extradata: bytes) -> None:
        self._num_time_bits: int | None = None
        self._heed_layers(extradata)

    def __call__(self, data: bytes) -> PacketFacts:
        """Return what a packet says of its picture.

        Raises:
            NotSelectableError: it has none or several.
        """
        pictures = self.pictures(data)
        if len(pictures) != 1:
            raise NotSelectableError("several or no pictures in a packet")
        (picture,) = pictures
        return PacketFacts(
            is_entry=picture.is_intra and picture.is_coded,
            is_reference=not picture.is_bidirectional,
            is_shown=picture.is_coded,
            parameters=tuple(_layers(data)),
        )

    def pictures(self, data: bytes) -> list[Picture]:
        """Return the pictures in a packet; the first with all that stands before it."""
        self._heed_layers(data)
        at, start, pictures = data.find(_PICTURE_CODE), 0, []
        while at >= 0:
            following = data.find(_PICTURE_CODE, at + 4)
            # Headers of the next picture stand between this one's data and its start code.
            end = data.find(_ANY_CODE, at + 4) if following >= 0 else len(data)
            pictures.append(self._picture(data[start:end], head=data[at + 4 : end]))
            at, start = following, end
        return pictures

    def _picture(self, data: bytes, *, head: bytes) -> Picture:
        """Read the header of a picture (6.2.5) behind its start code, up to ``vop_coded``."""
        bits = Bits(head)
        kind = bits.take(2)
        return Picture(data, kind == _INTRA, kind == _BIDIRECTIONAL, self._is_coded(bits))

    def _is_coded(self, bits: Bits) -> bool:
        if self._num_time_bits is None:
            return True
        while bits.take(1):  # whole seconds since the picture before
            pass
        bits.take(1 + self._num_time_bits + 1)
        return bool(bits.take(1))

    def _heed_layers(self, data: bytes) -> None:
        for layer in _layers(data):
            self._num_time_bits = _num_time_bits(layer)


def _layers(data: bytes) -> list[bytes]:
    """Return the headers of video object layers, which apply to the pictures behind them."""
    layers = []
    for match in _CODE.finditer(data):
        if match.group(1) != b"\xb6":
            end = data.find(_ANY_CODE, match.end())
            layers.append(data[match.start() : end if end > 0 else len(data)])
    return layers


def _num_time_bits(layer: bytes) -> int:
    """Return how many bits of a second's part there are in a picture's header (6.2.3, 6.3.5)."""
    bits = Bits(layer[4:])
    bits.take(1 + 8)
    version = bits.take(4 + 3) >> 3 if bits.take(1) else 1
    if bits.take(4) == _EXTENDED_ASPECT:
        bits.take(8 + 8)
    if bits.take(1):
        bits.take(2 + 1)
        if bits.take(1):
            bits.take(79)  # sizes of the decoder's buffer
    if bits.take(2) == _GREY_ALPHA and version != 1:
        bits.take(4)
    bits.take(1)
    return max(1, (bits.take(16) - 1).bit_length())
