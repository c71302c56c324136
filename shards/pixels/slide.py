"""Frames whose rows or columns slide, as shears and translations do, with the bits of Pillow.

``Image.transform`` with ``AFFINE`` and ``BICUBIC`` weighs 16 pixels for each. Where nothing but rows, or
nothing but columns, move, 12 of them have no weight, and the same numbers come from the other 4.
"""

import numpy as np

from vfm.shards.array_types import UInt8
from vfm.shards.pixels.compiling import compiled


def slide(frame: UInt8, *, slope: float, shift_px: float, is_across: bool, fill: int) -> UInt8:
    """Return a frame, each pixel taken from elsewhere in its row or in its column.

    Bits are those of Pillow where it was compiled without fused multiplication, as for x86-64.

    Args:
        frame: uint8 [H, W, 3].
        slope: pixels that a row (a column) is taken from further on than the one before it.
        shift_px: pixels that all are.
        is_across: whether rows slide, not columns.
        fill: level of what comes in from outside, 0..255.

    Returns:
        uint8 [H, W, 3].
    """
    slid = np.empty(frame.shape, np.uint8)
    source, target = (pixels if is_across else pixels.swapaxes(0, 1) for pixels in (frame, slid))
    _fill(source, target, float(slope), float(shift_px), fill)
    return slid


@compiled
def _fill(frame: UInt8, result: UInt8, slope: float, shift_px: float, fill: int) -> None:
    height, width, _ = frame.shape
    for y in range(height):
        row = frame[y]
        for x in range(width):
            at = (x + 0.5) + slope * (y + 0.5) + shift_px
            if at < 0.0 or at >= width:
                result[y, x, :] = fill
                continue
            first = int(np.floor(at - 0.5))
            share = (at - 0.5) - first
            a, b = max(first - 1, 0), max(first, 0)
            c, d = min(first + 1, width - 1), min(first + 2, width - 1)
            for k in range(3):
                result[y, x, k] = _cubic(row[a, k], row[b, k], row[c, k], row[d, k], share)


@compiled
def _cubic(level_a: int, level_b: int, level_c: int, level_d: int, share: float) -> int:
    """Return a level between b and c, cut off, not rounded (Keys 1981, with -1 for his constant)."""
    a, b, c, d = np.float64(level_a), np.float64(level_b), np.float64(level_c), np.float64(level_d)
    # In this order of operations; sums of levels are exact.
    level = b + share * ((c - a) + share * ((2 * (a - b) + c - d) + share * (-a + b - c + d)))
    if level <= 0.0:
        return 0
    return 255 if level >= 255.0 else int(level)
