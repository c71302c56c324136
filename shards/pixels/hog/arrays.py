"""HOG as array operations, with NumPy or, for a GPU, with torch: the same lines, the same bits.

Equal bits on every machine and in any order of summing, which ``compiled`` relies on too:

- gradients of uint8 pixels are integers below 2^11 and exact in float32; so is the sum of their squares;
- the root is rounded correctly, as IEEE 754 demands, so magnitudes are equal everywhere;
- magnitudes are 0 or at least 1, so a float64 holds the sum of a cell without any rounding, and the sum
  is the same in any order;
- what is left, a norm and a division per histogram, is done in float64 in one fixed order.
"""

from typing import Any

import numpy as np
from einops import rearrange

from vfm.shards.pixels.hog.definition import NORM_FLOOR, HogDefinition


def hog_of_arrays(frames: Any, definition: HogDefinition, xp: Any) -> Any:
    """Return the tokens of ``vfm.shards.pixels.hog.compute.hog``, where the frames are.

    Args:
        frames: array or tensor [N, H, W, C]: uint8; or float32, with which gradients are rounded and a zero
            gradient may go to the first bin or the last.
        definition: of the histograms.
        xp: the library that ``frames`` are of, ``numpy`` or ``torch``.

    Returns:
        float32 [N, H // token_px, W // token_px, C * num_bins * cells_per_side²].
    """
    rows, columns = definition.grid(frames.shape[1], frames.shape[2])
    sine, cosine = _gradients(xp.asarray(frames, dtype=xp.float32), definition, xp)
    magnitudes = _root(sine * sine + cosine * cosine, xp)
    weights = definition.weights(frames.shape[1], frames.shape[2])
    if weights.size:
        magnitudes = magnitudes * xp.asarray(weights, device=magnitudes.device)[:, :, None]
    bins = _bins(sine, cosine, definition, xp)
    height_px, width_px = rows * definition.token_px, columns * definition.token_px
    cells = [
        _sum_cells(xp.where(bins == number, magnitudes, 0.0)[:, :height_px, :width_px], definition, xp)
        for number in range(definition.num_bins)
    ]
    tokens = rearrange(
        xp.stack(_normalize(cells, definition, xp), -1),
        "n (h i) (w j) c b -> n h w (c b i j)",
        i=definition.cells_per_side,
        j=definition.cells_per_side,
    )
    return xp.asarray(tokens, dtype=xp.float32)


def _gradients(pixels: Any, definition: HogDefinition, xp: Any) -> tuple[Any, Any]:
    """Return the gradients [N, H, W, C] that are sine and cosine of the angle; the sine is not negative."""
    side, middle = definition.smoothing()
    up, down = _neighbours(pixels, 1, xp)
    before, after = _neighbours(side * (up + down) + middle * pixels, 2, xp)
    horizontal = before - after
    across = up - down
    before, after = _neighbours(across, 2, xp)
    vertical = side * (before + after) + middle * across
    is_from_vertical = definition.angle_from == "vertical"
    sine, cosine = (horizontal, vertical) if is_from_vertical else (vertical, horizontal)
    cosine = xp.where(sine < 0, -cosine, cosine)
    return xp.abs(sine), xp.where(sine == 0, xp.abs(cosine), cosine)


def _neighbours(values: Any, axis: int, xp: Any) -> tuple[Any, Any]:
    """Return the value before and the value after each along an axis, reflected at both ends."""
    ahead = (slice(None),) * axis
    before = xp.concatenate([values[(*ahead, slice(1, 2))], values[(*ahead, slice(None, -1))]], axis)
    after = xp.concatenate([values[(*ahead, slice(1, None))], values[(*ahead, slice(-2, -1))]], axis)
    return before, after


def _bins(sine: Any, cosine: Any, definition: HogDefinition, xp: Any) -> Any:
    """Return the number of the bin of each gradient; that of no gradient at all means nothing."""
    bins = xp.zeros_like(sine)
    for threshold in definition.thresholds().tolist():
        bins += cosine <= sine * threshold
    return bins


def _sum_cells(values: Any, definition: HogDefinition, xp: Any) -> Any:
    """Return the mean of each cell, float64 [N, cell rows, cell columns, C]."""
    side = definition.cell_px
    num_frames, height_px, width_px, num_channels = values.shape
    shape = (num_frames, height_px // side, side, width_px // side, side, num_channels)
    return values.reshape(shape).sum((2, 4), dtype=xp.float64) * (1.0 / side**2)


def _normalize(cells: list[Any], definition: HogDefinition, xp: Any) -> list[Any]:
    """Divide the bins by their norm; the squares are summed bin after bin."""
    total = cells[0] * cells[0]
    for cell in cells[1:]:
        total = total + cell * cell
    norm = _root(total + definition.epsilon**2, xp).clip(NORM_FLOOR)
    return [cell / norm for cell in cells]


def _root(values: Any, xp: Any) -> Any:
    """Return the square roots, rounded correctly.

    NumPy's are, and CUDA's; those of torch 2.13 on a CPU are off by a unit for one integer in seven.
    """
    return xp.asarray(np.sqrt(np.asarray(values))) if str(values.device) == "cpu" else xp.sqrt(values)
