"""Finds pages of zeros inside coded pictures, which decoders conceal without a word.

A page that was never written, or was lost with its sector, is read as zeros. No three bytes of zero follow
each other inside a NAL unit: an encoder breaks such a run with a byte of 3 (ITU-T H.264 7.4.1, H.265 7.4.2).
"""

import re
from typing import TYPE_CHECKING

from vfm.video2token.container.bitstream.nal import h264_length_size, hevc_length_size

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_RUN = re.compile(rb"\0\0\0\0*")  # three as a literal, which ``re`` searches for at the speed of memory
_START_CODE = b"\0\0\0\1"
_LENGTH_SIZES = {"h264": h264_length_size, "hevc": hevc_length_size}
_MIN_STUFFED = 8  # packets of a short or damaged video prove no habit


class ZeroCount:
    """Counts the packets of one stream that have zeros where their codec has none.

    Args:
        codec: libavcodec's name; packets of codecs without NAL units are all taken for sound.
        extradata: of the stream, which says how units are framed.
    """

    def __init__(self, codec: str = "", extradata: bytes = b"") -> None:
        length_size = _LENGTH_SIZES.get(codec)
        self._length_size = None if length_size is None else length_size(extradata)
        self._num_packets = self._num_torn = self._num_ended = 0

    def take(self, packet: "Packet[VideoStream] | bytes") -> None:
        """Look into the next packet."""
        if self._length_size is None:
            return
        data = memoryview(packet)
        self._num_packets += 1
        if not self._length_size:
            self._num_torn += is_torn(data)
            return
        self._num_torn += is_torn_framed(data, length_size=self._length_size)
        self._num_ended += bytes(data[-3:]) == b"\0\0\0"

    @property
    def num_zeroed(self) -> int:
        """How many packets are damaged.

        One that ends in zeros is, as the last byte of a unit is none; but stuffing between the units of a
        broadcast stays at their ends when it is put into another container, and then at those of many.
        """
        is_stuffed = self._num_ended > max(_MIN_STUFFED, self._num_packets // 10)
        return self._num_torn + (0 if is_stuffed else self._num_ended)


def is_torn(data: memoryview) -> bool:
    """Return whether zeros stand inside a unit; any number may precede a start code, or end the packet."""
    return any(run.end() < len(data) and data[run.end()] != 1 for run in _RUN.finditer(data))


def is_torn_framed(data: memoryview, *, length_size: int) -> bool:
    """Return whether zeros stand inside a unit that follows its length, or in place of the length.

    Zeros at a unit's end are not looked at; nor is a start code, which some writers leave before the mark
    that ends a sequence.
    """
    at = 0
    while at < len(data):
        start = at + length_size
        at = start + int.from_bytes(data[at:start])
        if at == start:
            return True
        if at > len(data):  # not framed as it is said to be: the decoder tells of it
            return False
        for run in _RUN.finditer(data, start, at):
            if run.end() < at and bytes(data[run.start() : run.end() + 1]) != _START_CODE:
                return True
    return False
