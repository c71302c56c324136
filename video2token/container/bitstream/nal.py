"""What the bytes of one coded packet say of it, for codecs whose pictures are coded in NAL units.

Read from the bitstream and not from the container, whose flags may be wrong: whether decoding can begin at
the packet, whether later pictures are predicted from it, and whether it changes how pictures are decoded.
"""

from collections.abc import Iterator

from vfm.video2token.container.bitstream.facts import NotSelectableError, PacketFacts, Reader

# ITU-T H.264 D.1, H.265 D.2: grain, which libavcodec adds and later pictures inherit.
_SEI_FILM_GRAIN = 19


def h264_reader(extradata: bytes) -> Reader:
    """Return what reads packets of H.264 (ITU-T H.264 7.3.1, 7.4.1), framed as ``extradata`` says."""
    length_size = h264_length_size(extradata)

    def read(data: bytes) -> PacketFacts:
        kinds, is_reference, parameters = set(), False, []
        for start, end in nal_units(data, length_size=length_size):
            kind = data[start] & 31
            kinds.add(kind)
            if kind in {1, 5}:
                is_reference |= bool(data[start] & 0x60)
            elif kind in {2, 3, 4}:
                raise NotSelectableError("data partitions")
            elif kind in {7, 8, 13}:
                parameters.append(data[start:end].rstrip(b"\0"))
            elif kind == 6 and end > start + 1:
                _refuse_grain(data[start + 1 : end])
        is_shown = not kinds.isdisjoint({1, 5})
        return PacketFacts(
            is_entry=5 in kinds,
            is_reference=is_reference or not is_shown,
            is_shown=is_shown,
            parameters=tuple(parameters),
        )

    return read


def hevc_reader(extradata: bytes) -> Reader:
    """Return what reads packets of HEVC (ITU-T H.265 7.3.1.2, table 7-1), framed as ``extradata`` says."""
    length_size = hevc_length_size(extradata)

    def read(data: bytes) -> PacketFacts:
        pictures, parameters, is_layered = set(), [], False
        for start, end in nal_units(data, length_size=length_size):
            kind, temporal_id = data[start] >> 1 & 63, (data[start + 1] & 7) - 1
            if data[start] & 1 or data[start + 1] >> 3:
                continue  # a layer of a multi-layer extension, which the decoder leaves out
            if kind < 32:
                pictures.add(kind)
                is_layered |= temporal_id > 0
            elif kind in {32, 33, 34}:
                parameters.append(data[start:end].rstrip(b"\0"))
            elif kind in {36, 37}:
                raise NotSelectableError("an end of sequence inside")
            elif kind == 39 and end > start + 2:
                _refuse_grain(data[start + 2 : end])
        if not pictures.isdisjoint({16, 17, 18}):
            raise NotSelectableError("broken links")
        is_shown = bool(pictures)
        return PacketFacts(
            is_entry=not pictures.isdisjoint({19, 20, 21}),
            is_clean=21 not in pictures,
            is_leading=not pictures.isdisjoint({8, 9}),
            is_reference=not is_shown or any(kind % 2 or kind > 14 for kind in pictures),
            is_shown=is_shown,
            is_layered=is_layered,
            parameters=tuple(parameters),
        )

    return read


def h264_length_size(extradata: bytes) -> int:
    """Return how many bytes of length precede each unit (ISO/IEC 14496-15 5.3.3.1); 0 for start codes."""
    return (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else 0


def hevc_length_size(extradata: bytes) -> int:
    """Return how many bytes of length precede each unit (ISO/IEC 14496-15 8.3.3.1); 0 for start codes."""
    return (extradata[21] & 3) + 1 if len(extradata) > 22 and extradata[0] == 1 else 0


def nal_units(data: bytes, *, length_size: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each NAL unit.

    Args:
        data: a packet.
        length_size: bytes of the length before each unit; 0 for start codes (Annex B).

    Raises:
        NotSelectableError: units and packet do not fit together, as in a damaged file.
    """
    units = _by_length(data, length_size) if length_size else _by_start_code(data)
    for start, end in units:
        if end <= start or end > len(data) or data[start] & 0x80:
            raise NotSelectableError("damage in its units")
        yield start, end


def _by_length(data: bytes, length_size: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(data):
        start = at + length_size
        at = start + int.from_bytes(data[at:start])
        yield start, at


def _by_start_code(data: bytes) -> Iterator[tuple[int, int]]:
    start = data.find(b"\0\0\1") + 3
    if start < 3:
        raise NotSelectableError("damage in its units")
    while start < len(data):
        following = data.find(b"\0\0\1", start)
        end = len(data) if following < 0 else following
        yield start, end
        start = end + 3


def _refuse_grain(payload: bytes) -> None:
    if payload[0] == _SEI_FILM_GRAIN:
        raise NotSelectableError("film grain")
