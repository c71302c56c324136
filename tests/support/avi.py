"""AVI files put together chunk by chunk: packed B-frames, as DivX and Xvid write them, and empty chunks."""

import re
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from support.media import HEIGHT, WIDTH, draw

DIVX_MARK = b"\0\0\1\xb2DivX503b1393p"
_VOP = b"\0\0\1\xb6"
_FLAG_KEY = 0x10


def coded(
    num_frames: int,
    *,
    codec: str = "mpeg4",
    num_b: int = 0,
    rate: Fraction = Fraction(10),
    gop: int = 10,
    pix_fmt: str = "yuv420p",
) -> list[bytes]:
    """Return the coded pictures of a film in the order of coding; picture i shows the number i."""
    context: Any = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, pix_fmt
    context.time_base, context.framerate, context.thread_count = 1 / rate, rate, 1
    if codec == "mpeg4":
        context.options = {"bf": str(num_b), "g": str(gop), "b_strategy": "0", "sc_threshold": "1000000000"}
    pictures = []
    for index in range(num_frames):
        frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24").reformat(format=pix_fmt)
        frame.time_base, frame.pts = 1 / rate, index
        pictures += context.encode(frame)
    return [bytes(picture) for picture in [*pictures, *context.encode(None)]]


def pack(pictures: Sequence[bytes], *, rate: Fraction = Fraction(10), mark: bytes = DIVX_MARK) -> list[bytes]:
    """Return chunks in which the first B-picture lies behind the picture it is predicted from.

    The chunk that it would have had comes last of its group, and holds a picture that is not coded.

    Args:
        pictures: MPEG-4, in the order of coding.
        rate: frames per second, which the pictures count their times in.
        mark: put before the first picture; DivX and Xvid write one that says that B-pictures are packed.
    """
    chunks: list[bytes] = []
    num_behind = 0  # B-pictures behind the last that is none
    for picture in pictures:
        if kind_of(picture) == 2:
            num_behind += 1
            if num_behind == 1:
                chunks[-1] += picture
            else:
                chunks.append(picture)
            continue
        chunks += [not_coded(rate)] * bool(num_behind)
        chunks.append(picture)
        num_behind = 0
    chunks += [not_coded(rate)] * bool(num_behind)
    place = re.search(b"\0\0\1[\xb3\xb6]", chunks[0])
    assert place is not None
    chunks[0] = chunks[0][: place.start()] + mark + chunks[0][place.start() :]
    return chunks


def kind_of(picture: bytes) -> int:
    """Return the coding type of the first MPEG-4 picture: 0 I, 1 P, 2 B."""
    return picture[picture.index(_VOP) + 4] >> 6


def not_coded(rate: Fraction = Fraction(10), *, increment: int = 1) -> bytes:
    """Return a P-picture of MPEG-4 that is not coded (ISO/IEC 14496-2 6.2.5): it shows the one before."""
    num_bits = max(1, (rate.numerator - 1).bit_length())
    bits = f"0101{increment:0{num_bits}b}10"  # P, this second, marker, time, marker, not coded
    bits += "1" * (-len(bits) % 8)
    return _VOP + int(bits, 2).to_bytes(len(bits) // 8)


def write_avi(
    path: Path,
    chunks: Sequence[bytes],
    *,
    fourcc: bytes = b"DX50",
    rate: Fraction = Fraction(10),
    num_bits: int = 24,
    keys: Sequence[bool] | None = None,
) -> Path:
    """Write chunks of one video stream with an index; an empty one says that nothing changes."""
    keys = keys or [bool(chunk) and (fourcc != b"DX50" or kind_of(chunk) == 0) for chunk in chunks]
    rate_pair = struct.pack("<II", rate.denominator, rate.numerator)
    main = struct.pack(
        "<14I",
        round(1_000_000 / rate),
        0,
        0,
        _FLAG_KEY,
        len(chunks),
        0,
        1,
        1 << 20,
        WIDTH,
        HEIGHT,
        0,
        0,
        0,
        0,
    )
    head = b"vids" + fourcc + bytes(12) + rate_pair
    stream = head + struct.pack("<IIIiI4H", 0, len(chunks), 1 << 20, -1, 0, 0, 0, WIDTH, HEIGHT)
    compression = bytes(4) if fourcc == b"DIB " else fourcc
    picture = struct.pack("<IiiHH", 40, WIDTH, HEIGHT, 1, num_bits) + compression + bytes(20)
    movie, index = b"movi", b""
    for chunk, is_key in zip(chunks, keys, strict=True):
        index += b"00dc" + struct.pack("<III", _FLAG_KEY * is_key, len(movie), len(chunk))
        movie += _box(b"00dc", chunk)
    headers = _box(b"avih", main) + _box(b"LIST", b"strl" + _box(b"strh", stream) + _box(b"strf", picture))
    body = _box(b"LIST", b"hdrl" + headers) + _box(b"LIST", movie) + _box(b"idx1", index)
    path.write_bytes(_box(b"RIFF", b"AVI " + body))
    return path


def _box(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
