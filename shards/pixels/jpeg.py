"""One frame as JPEG bytes and back (libjpeg-turbo)."""

import numpy as np
import simplejpeg  # type: ignore[import-untyped]  # it ships no types

from vfm.shards.array_types import UInt8
from vfm.shards.errors import DamageError


def encode(frame: UInt8, *, quality: int) -> bytes:
    """Return a baseline JPEG with 4:2:0 chroma, the same bytes for the same frame.

    Args:
        frame: uint8 [H, W, 3], RGB.
        quality: 1 to 100.
    """
    assert frame.dtype == np.uint8, "frames are uint8"
    assert frame.ndim == 3, "one frame at a time"
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(frame), quality=quality, colorspace="RGB", colorsubsampling="420", fastdct=False
    )
    return data


def decode(data: bytes | memoryview) -> UInt8:
    """Return a frame, uint8 [H, W, 3], RGB, C-contiguous.

    Raises:
        DamageError: the bytes are not a whole JPEG.
    """
    try:
        frame: UInt8 = simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)
    except ValueError as error:
        raise DamageError(f"A stored JPEG is damaged ({error}): run `vfm inspect DATA --verify`.") from error
    return frame
