"""What the bytes of MPEG-4 part 2 say (ISO/IEC 14496-2 6.2): where its pictures begin, and what each is."""

import re
from typing import NamedTuple

from vfm.video2token.container.bitstream.bits import Bits
from vfm.video2token.container.bitstream.facts import NotSelectableError, PacketFacts

PICTURE_CODE = b"\0\0\1\xb6"
_CODE = re.compile(rb"\x00\x00\x01")  # a literal, which ``re`` searches for at the speed of memory
_PICTURE, _LAYERS = 0xB6, range(0x20, 0x30)
_INTRA, _BIDIRECTIONAL = 0, 2
_MAX_NOT_CODED_BYTES = 32  # of a header and what fills its last byte
_EXTENDED_ASPECT, _GREY_ALPHA = 15, 3


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
        self.heed(extradata)

    def heed(self, headers: bytes) -> None:
        """Take headers that apply to the pictures behind them."""
        self._layers(headers, codes=_codes(headers))

    def __call__(self, data: bytes) -> PacketFacts:
        """Return what a packet of one picture says of it; ``Unpacker`` gives no others.

        Raises:
            NotSelectableError: it has none.
            IndexError: it ends in a header.
        """
        at = data.find(PICTURE_CODE)
        if at < 0:
            raise NotSelectableError("no picture in a packet")
        layers = self._layers(data[:at], codes=_codes(data[:at])) if at else []
        kind, is_coded = data[at + 4] >> 6, self._is_coded(data, at=at, end=len(data))
        return PacketFacts(
            is_entry=kind == _INTRA and is_coded,
            is_reference=kind != _BIDIRECTIONAL,
            is_shown=is_coded,
            parameters=tuple(layers),
        )

    def pictures(self, data: bytes) -> list[Picture]:
        """Return the pictures in a packet; headers between two belong to the second."""
        codes = _codes(data)
        self._layers(data, codes=codes)
        starts = [at for at in codes if data[at + 3] == _PICTURE and at + 4 < len(data)]
        ends = [next(code for code in codes if code > at) for at in starts[:-1]] + [len(data)]
        pictures = []
        for start, at, end in zip([0, *ends], starts, ends, strict=False):
            kind = data[at + 4] >> 6
            is_coded = self._is_coded(data, at=at, end=end)
            pictures.append(Picture(data[start:end], kind == _INTRA, kind == _BIDIRECTIONAL, is_coded))
        return pictures

    def _is_coded(self, data: bytes, *, at: int, end: int) -> bool:
        """Read the header of a picture (6.2.5) up to ``vop_coded``."""
        if self._num_time_bits is None or end - at > _MAX_NOT_CODED_BYTES:
            return True
        bits = Bits(data[at + 4 : end])
        bits.take(2)
        while bits.take(1):  # whole seconds since the picture before
            pass
        bits.take(1 + self._num_time_bits + 1)
        return bool(bits.take(1))

    def _layers(self, data: bytes, *, codes: list[int]) -> list[bytes]:
        """Return the headers of video object layers, and heed them: they apply to the pictures behind."""
        layers = [
            data[at:end]
            for at, end in zip(codes, [*codes[1:], len(data)], strict=False)
            if data[at + 3] in _LAYERS
        ]
        for layer in layers:
            self._num_time_bits = _num_time_bits(layer)
        return layers


def _codes(data: bytes) -> list[int]:
    """Return where start codes are, with the byte that tells their kind."""
    last = len(data) - 4
    return [match.start() for match in _CODE.finditer(data) if match.start() <= last]


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
