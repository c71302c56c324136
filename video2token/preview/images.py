"""Pictures made of frames: squares beside each other, lines of text, PNG."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from vfm.shards.array_types import UInt8

_WHITE = 255
_GAP_PX = 4
_IN_A_ROW = 8
_LINE_PX, _FONT_PX = 18, 12
_OURS = ("Software", "vfm")
_PNG = b"\x89PNG\r\n\x1a\n"
_START_BYTES = 64  # of a PNG: its size, and then what it says of itself


def frames_picture(frames: UInt8, rebuilt: UInt8 | None = None) -> UInt8:
    """Return frames in rows of eight, and under each the one that was made of it.

    Args:
        frames: uint8 [N, H, W, 3].
        rebuilt: the same shape.

    Returns:
        uint8 [height, width, 3] with white gaps.
    """
    bands = []
    for start in range(0, len(frames), _IN_A_ROW):
        row = slice(start, start + _IN_A_ROW)
        if rebuilt is not None:
            bands.append(_band(frames[row], gap_below_px=_GAP_PX // 2))
        bands.append(_band((frames if rebuilt is None else rebuilt)[row], gap_below_px=2 * _GAP_PX))
    return stack(bands)


def text_picture(words: str) -> UInt8:
    """Return a line of text, black on white; what is not ASCII is escaped, for the font may not have it."""
    plain = words.encode("unicode_escape").decode()
    font = ImageFont.load_default(_FONT_PX)
    image = Image.new("RGB", (int(font.getlength(plain)) + 2 * _GAP_PX, _LINE_PX), "white")
    ImageDraw.Draw(image).text((1, 2), plain, fill="black", font=font)
    return np.asarray(image)


def stack(pictures: Sequence[UInt8]) -> UInt8:
    """Return pictures below each other, white where one is narrower than another."""
    width_px = max(picture.shape[1] for picture in pictures)
    return np.concatenate(
        [
            np.pad(picture, ((0, 0), (0, width_px - picture.shape[1]), (0, 0)), constant_values=_WHITE)
            for picture in pictures
        ]
    )


def to_png(image: UInt8) -> bytes:
    """Return uint8 [H, W, 3] as a PNG that says whose it is, the same bytes for the same picture."""
    file, told = io.BytesIO(), PngInfo()
    told.add_text(*_OURS)
    Image.fromarray(image).save(file, "PNG", pnginfo=told)
    return file.getvalue()


def is_ours(path: Path) -> bool:
    """Return whether a file is a picture that `to_png` made."""
    # Not opened as a picture: Pillow takes a sheet of many samples for an attack.
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError:
        return False
    return start.startswith(_PNG) and "\0".join(_OURS).encode("latin-1") in start


def _band(frames: UInt8, *, gap_below_px: int) -> UInt8:
    padded = np.pad(frames, ((0, 0), (0, gap_below_px), (0, _GAP_PX), (0, 0)), constant_values=_WHITE)
    return np.concatenate(list(padded), axis=1)
