"""Squares from one end of a frame's long side to the other, as published tests of video classifiers cut them.

UMT (Li et al. 2023), VideoMAE (Tong et al. 2022) and MMAction2 resize with OpenCV's bilinear filter on 8
bits; the same numbers come from the integers here.
"""

from collections.abc import Iterable

import numpy as np

from vfm.shards.array_types import Int32, Int64, UInt8
from vfm.shards.errors import UsageError

# OpenCV weighs neighbours in 2048ths. Two weights and 8 bits make 30 bits; the last 22 are rounded off.
_ONE = 2048
_BLOCK = 32  # rows at a time, whose products stay in the second cache


def spread_crops(frames: UInt8, *, crop_px: int, num_crops: int) -> UInt8:
    """Return squares of frames whose short side is made ``crop_px`` long.

    Crop k of K begins at int(k · room / (K - 1)) along the long side, down where the frame is square; a
    single one lies in the middle, a half rounded to the even pixel.

    Args:
        frames: uint8 [T, H, W, 3].
        crop_px: side of a square.
        num_crops: squares of each frame.

    Returns:
        uint8 [K, T, crop_px, crop_px, 3].

    Raises:
        UsageError: no crop is asked for.
    """
    if num_crops < 1:
        raise UsageError(f"A test needs at least 1 crop, got {num_crops}.")
    height_px, width_px = frames.shape[1:3]
    short_px = min(height_px, width_px)
    size_px = int(crop_px * height_px / short_px), int(crop_px * width_px / short_px)
    resized = resize_bilinear(frames, height_px=size_px[0], width_px=size_px[1])
    room_px = max(size_px) - crop_px
    starts_px = [int(k * room_px / (num_crops - 1)) for k in range(num_crops)] if num_crops > 1 else []
    return _squares(resized, starts_px or [round(room_px / 2)], side_px=crop_px)


def three_crops(frames: UInt8, *, crop_px: int, num_crops: int) -> UInt8:
    """Return squares of frames as tests of MMAction2 cut them (``Resize``, ``ThreeCrop``, ``CenterCrop``).

    The long side is rounded to the nearest pixel. Of three squares the first lies at 0, then come those at
    2 * (room // 2) and at room // 2; a single one lies at room // 2.

    Args:
        frames: uint8 [T, H, W, 3].
        crop_px: side of a square.
        num_crops: 3 or 1.

    Returns:
        uint8 [K, T, crop_px, crop_px, 3].

    Raises:
        UsageError: another number of crops is asked for.
    """
    if num_crops not in (1, 3):
        raise UsageError(f"A test of MMAction2 has 1 crop or 3, got {num_crops}: ask for one of these.")
    sides_px = frames.shape[1:3]
    height_px, width_px = (int(crop_px * side / min(sides_px) + 0.5) for side in sides_px)
    resized = resize_bilinear(frames, height_px=height_px, width_px=width_px)
    middle = (max(height_px, width_px) - crop_px) // 2
    starts_px = (0, 2 * middle, middle) if num_crops == 3 else (middle,)
    return _squares(resized, starts_px, side_px=crop_px)


def slowfast_crops(frames: UInt8, *, crop_px: int, num_crops: int) -> UInt8:
    """Return squares of frames as PySlowFast's tests cut them.

    A single square is the middle of frames whose short side is 8/7 of it, as 256 px are of 224; a half is
    rounded up. Three squares, from one end of the long side to the other, have the short side itself.

    Args:
        frames: uint8 [T, H, W, 3].
        crop_px: side of a square.
        num_crops: 3 or 1.

    Returns:
        uint8 [K, T, crop_px, crop_px, 3].

    Raises:
        UsageError: another number of crops is asked for.
    """
    if num_crops not in (1, 3):
        raise UsageError(f"A test of PySlowFast has 1 crop or 3, got {num_crops}: ask for one of these.")
    short_px = crop_px if num_crops == 3 else crop_px * 8 // 7
    height_px, width_px = (short_px * side // min(frames.shape[1:3]) for side in frames.shape[1:3])
    resized = resize_bilinear(frames, height_px=height_px, width_px=width_px)
    room_px, around_px = max(height_px, width_px) - crop_px, short_px - crop_px
    middle_px, top_px = -(-room_px // 2), -(-around_px // 2)
    starts_px = (0, middle_px, room_px) if num_crops == 3 else (middle_px,)
    return _squares(resized, starts_px, side_px=crop_px, across_px=top_px)


def _squares(frames: UInt8, starts_px: Iterable[int], *, side_px: int, across_px: int = 0) -> UInt8:
    """Return the squares that begin so far along the long side, and ``across_px`` along the short one."""
    is_wide = frames.shape[2] > frames.shape[1]
    corners = [(across_px, start) if is_wide else (start, across_px) for start in starts_px]
    return np.stack([frames[:, top : top + side_px, left : left + side_px] for top, left in corners])


def resize_bilinear(frames: UInt8, *, height_px: int, width_px: int) -> UInt8:
    """Return frames [T, height_px, width_px, 3] as ``cv2.resize`` with ``INTER_LINEAR`` makes them.

    The bits of OpenCV 5.0 where the height shrinks; where it grows, one level in a hundred may differ by 1.

    Args:
        frames: uint8 [T, H, W, 3].
        height_px: of the result.
        width_px: of the result.
    """
    if frames.shape[1:3] == (height_px, width_px):
        return frames
    rows, columns = _neighbours(frames.shape[1], height_px), _neighbours(frames.shape[2], width_px)
    # Bytes are picked one by one, and the colours of a pixel lie beside each other.
    bytes_of = [(near[:, None] * 3 + np.arange(3)).ravel() for near in columns[0]]
    byte_weights = [np.repeat(weights, 3) for weights in columns[1]]
    resized = np.empty((len(frames), height_px, width_px, 3), np.uint8)
    lines = np.empty((frames.shape[1], width_px * 3), np.int32)
    for out, frame in zip(resized, frames, strict=True):
        _make_wide(frame.reshape(len(frame), -1), lines, bytes_of, byte_weights)
        _make_high(lines, out.reshape(height_px, -1), *rows)
    return resized


def _make_wide(frame: UInt8, lines: Int32, near: list[Int64], weights: list[Int32]) -> None:
    """Write the rows of a frame, uint8 [H, W · 3], at their new width in 128ths, int32 [H, width · 3]."""
    picked, right = (np.empty((_BLOCK, lines.shape[1]), dtype) for dtype in (np.uint8, np.int32))
    for block in _blocks(len(frame)):
        left, num_rows = lines[block], len(lines[block])
        for product, k in ((left, 0), (right[:num_rows], 1)):
            # "clip" takes no position elsewhere; the default, "raise", would need a buffer.
            np.take(frame[block], near[k], axis=1, out=picked[:num_rows], mode="clip")
            np.multiply(picked[:num_rows], weights[k], out=product, dtype=np.int32)
        left += right[:num_rows]
        left >>= 4


def _make_high(lines: Int32, out: UInt8, near: list[Int64], weights: list[Int32]) -> None:
    """Write the rows of a frame at their new height, rounded, uint8 [height, width · 3]."""
    above, below = (np.empty((_BLOCK, lines.shape[1]), np.int32) for _ in range(2))
    for block in _blocks(len(out)):
        num_rows = len(out[block])
        for product, k in ((above[:num_rows], 0), (below[:num_rows], 1)):
            np.take(lines, near[k][block], axis=0, out=product, mode="clip")
            np.multiply(product, weights[k][block, None], out=product)
            np.right_shift(product, 16, out=product)
        total = above[:num_rows]
        total += below[:num_rows]
        total += 2
        total >>= 2
        np.copyto(out[block], total, casting="unsafe")  # 0 to 255


def _blocks(num_rows: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK, num_rows)) for start in range(0, num_rows, _BLOCK)]


def _neighbours(length_px: int, result_px: int) -> tuple[list[Int64], list[Int32]]:
    """Return, for each pixel of the result, its two neighbours and their weights in 2048ths."""
    centers = np.float32((np.arange(result_px) + 0.5) * (length_px / result_px) - 0.5)
    first = np.floor(centers)
    share = centers - first
    share[(first < 0) | (first >= length_px - 1)] = 0
    near = np.clip(first.astype(np.int64), 0, length_px - 1)
    weights = [np.rint((np.float32(1) - share) * _ONE), np.rint(share * _ONE)]
    return [near, np.minimum(near + 1, length_px - 1)], [weight.astype(np.int32) for weight in weights]
