"""Which cells of a clip are hidden: blocks of space and time, of space alone, or whole frames."""

import math
from random import Random

import numpy as np
import numpy.typing as npt

from vfm.trainer.methods.maskfeat.recipe import Objective

Window = tuple[int, int, int]
Cells = npt.NDArray[np.bool_]
_TRIES = 100
_ASPECTS = (0.3, 1 / 0.3)
_SMALLEST = 5  # a block has at least one fifth of a frame's cells


def draw_mask(window: Window, objective: Objective, *, rng: np.random.Generator) -> Cells:
    """Return which cells are hidden, bool [T, H, W]; see `Objective.mask`.

    Args:
        window: cells in time, rows and columns.
        objective: kind of mask, and its share.
        rng: source of chance.
    """
    times, rows, columns = window
    if objective.mask == "frames":
        is_hidden = np.arange(times) < round(times * objective.mask_ratio)
        return np.broadcast_to(rng.permutation(is_hidden)[:, None, None], window).copy()
    chance = Random(int(rng.integers(2**63)))
    if objective.mask == "tube":
        tube = cube_mask((1, rows, columns), ratio=objective.mask_ratio, rng=chance)
        return np.broadcast_to(tube, window).copy()
    return cube_mask(window, ratio=objective.mask_ratio, rng=chance)


def cube_mask(window: Window, *, ratio: float, rng: Random) -> Cells:
    """Return blocks of space and time, one after the other until enough is hidden, bool [T, H, W].

    A block that would hide more than is left to hide, or nothing new, is drawn again, 100 times; then fewer
    cells than asked for are hidden (arXiv 2112.09133, section 5.1; seeded alike, the mask is PySlowFast's).

    Args:
        window: cells in time, rows and columns.
        ratio: share of the cells to hide.
        rng: source of chance.
    """
    is_hidden = np.zeros(window, np.bool_)
    left = round(ratio * is_hidden.size)
    while left > 0:
        num_new = _hide_block(is_hidden, most=left, rng=rng)
        if num_new == 0:
            break
        left -= num_new
    return is_hidden


def _hide_block(is_hidden: Cells, *, most: int, rng: Random) -> int:
    """Hide one more block and return how many cells are new; 0 where none of the tries fits."""
    times, rows, columns = is_hidden.shape
    for _ in range(_TRIES):
        area = rng.uniform(rows * columns // _SMALLEST, rows * columns)
        aspect = math.exp(rng.uniform(*map(math.log, _ASPECTS)))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        length = rng.randint(1, times)
        if width >= columns or height >= rows:
            continue
        top, left = rng.randint(0, rows - height), rng.randint(0, columns - width)
        front = rng.randint(0, times - length)
        block = is_hidden[front : front + length, top : top + height, left : left + width]
        num_new = block.size - int(block.sum())
        if 0 < num_new <= most:
            block[...] = True
            return num_new
    return 0
