"""What the bytes of one coded packet say of it: VP8, VP9, AV1, MPEG-1 and 2, and intra-only codecs.

See ``bitstream`` for the terms. VP8, VP9 and AV1 pictures adapt probabilities that later ones start from, so
all of them count as references.
"""

import re
from collections.abc import Callable

from vfm.video2token.container.bitstream.bits import Bits
from vfm.video2token.container.bitstream.facts import NotSelectableError, PacketFacts, Reader
from vfm.video2token.container.bitstream.mpeg4 import Mpeg4Reader
from vfm.video2token.container.bitstream.nal import h264_reader, hevc_reader

_MPEG_CODE = re.compile(rb"\x00\x00\x01([\x00\xb3\xb7\xb8])", re.DOTALL)


def reader_for(codec: str, extradata: bytes) -> Reader | None:
    """Return what reads packets of ``codec`` (libavcodec's name), None where all must be decoded."""
    plain: dict[str, Reader] = {
        "vp8": _vp8,
        "vp9": _vp9,
        "av1": _av1,
        "mpeg1video": _mpeg12,
        "mpeg2video": _mpeg12,
        "mjpeg": _mjpeg,
        "prores": _intra,
        "dnxhd": _intra,
    }
    framed: dict[str, Callable[[bytes], Reader]] = {
        "h264": h264_reader,
        "hevc": hevc_reader,
        "mpeg4": Mpeg4Reader,
    }
    return framed[codec](extradata) if codec in framed else plain.get(codec)


def _vp8(data: bytes) -> PacketFacts:
    """RFC 6386 9.1: the frame tag, and a keyframe's start code and size behind it."""
    is_key = not data[0] & 1
    return PacketFacts(
        is_entry=is_key,
        is_shown=bool(data[0] >> 4 & 1),
        parameters=(data[3:10],) if is_key else (),
    )


def _vp9(data: bytes) -> PacketFacts:
    """VP9 bitstream specification 6.2 and annex B: a packet may hold hidden frames before the shown one."""
    headers = [_vp9_header(data[start:end]) for start, end in _vp9_frames(data)]
    first_is_key, _, size = headers[0]
    if any(is_key for is_key, _, _ in headers[1:]):
        raise NotSelectableError("a keyframe inside a superframe")
    return PacketFacts(
        is_entry=first_is_key,
        is_shown=any(is_shown for _, is_shown, _ in headers),
        parameters=(size,) if first_is_key else (),
    )


def _vp9_frames(data: bytes) -> list[tuple[int, int]]:
    marker = data[-1]
    num_frames, num_bytes = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index_size = 2 + num_frames * num_bytes
    if marker >> 5 != 6 or len(data) < index_size or data[-index_size] != marker:
        return [(0, len(data))]
    frames, start = [], 0
    for at in range(len(data) - index_size + 1, len(data) - 1, num_bytes):
        end = start + int.from_bytes(data[at : at + num_bytes], "little")
        frames.append((start, end))
        start = end
    if start > len(data) - index_size or any(start == end for start, end in frames):
        raise NotSelectableError("damage in a superframe")
    return frames


def _vp9_header(frame: bytes) -> tuple[bool, bool, bytes]:
    """Return whether a frame is a keyframe, whether it is shown, and a keyframe's size and colour."""
    bits = Bits(frame)
    if bits.take(2) != 2:
        raise NotSelectableError("damage in a frame's header")
    profile = bits.take(1) | bits.take(1) << 1
    if profile == 3:
        bits.take(1)
    if bits.take(1):
        return False, True, b""  # shows a frame decoded before
    is_key, is_shown = not bits.take(1), bool(bits.take(1))
    if not is_key:
        return False, is_shown, b""
    bits.take(1)
    if bits.take(24) != 0x498342:
        raise NotSelectableError("damage in a frame's header")
    depth = bits.take(1) if profile >= 2 else 0
    space = bits.take(3)
    chroma = bits.take(1) if space != 7 else 0
    if profile in {1, 3}:
        chroma = chroma << 3 | bits.take(3 if space != 7 else 1)
    size = bits.take(32)
    return True, is_shown, bytes([profile, depth, space, chroma]) + size.to_bytes(4)


def _av1(data: bytes) -> PacketFacts:
    """AV1 bitstream specification 5.3 to 5.9: at an entry, a sequence header and a shown keyframe."""
    at, sequence, frame = 0, b"", None
    while at < len(data):
        kind, has_extension, has_size = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        if has_extension and data[at + 1] & 0x18:
            raise NotSelectableError("spatial layers")
        at += 1 + has_extension
        size, at = _leb128(data, at) if has_size else (len(data) - at, at)
        if at + size > len(data):
            raise NotSelectableError("damage in its units")
        if kind == 1:
            sequence = data[at : at + size]
        elif kind in {3, 6} and frame is None:
            frame = data[at]
        at += size
    if sequence and sequence[0] >> 3 & 3:
        raise NotSelectableError("a still picture")
    if frame is None:
        raise NotSelectableError("packets without a picture")
    # show_existing_frame 0, frame_type 0 (key), show_frame 1
    is_entry = bool(sequence) and frame >> 4 == 1
    return PacketFacts(is_entry=is_entry, parameters=(sequence,) if sequence else ())


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 56, 7):
        value |= (data[at] & 127) << shift
        at += 1
        if not data[at - 1] & 128:
            return value, at
    raise NotSelectableError("damage in its units")


def _mpeg12(data: bytes) -> PacketFacts:
    """ITU-T H.262 6.2.2 and 6.2.3: sequence header, group of pictures, picture header."""
    kinds, parameters, begin = set(), [], -1
    for match in _MPEG_CODE.finditer(data):
        code, at = match.group(1)[0], match.start()
        if begin >= 0:
            parameters.append(data[begin:at])
            begin = -1
        if code == 0xB3:
            begin = at
        elif code == 0xB7:
            raise NotSelectableError("an end of sequence inside")
        elif code == 0:
            kinds.add(data[at + 5] >> 3 & 7)
    if not kinds:
        raise NotSelectableError("packets without a picture")
    return PacketFacts(
        is_entry=bool(parameters) and 1 in kinds,
        is_reference=kinds != {3},
        parameters=tuple(parameters),
    )


def _mjpeg(data: bytes) -> PacketFacts:
    """ITU-T T.81 B.2: a JPEG that brings its own tables needs no other."""
    head = data[: 1 << 14]
    if not head.startswith(b"\xff\xd8") or b"\xff\xdb" not in head or b"\xff\xc4" not in head:
        raise NotSelectableError("JPEGs without tables of their own")
    return PacketFacts(is_entry=True, is_reference=False)


def _intra(_: bytes) -> PacketFacts:
    return PacketFacts(is_entry=True, is_reference=False)
