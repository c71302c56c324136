"""Which tokens of a clip are hidden: bool [T · N], time first, True where hidden."""

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Float32

Mask = npt.NDArray[np.bool_]


def tube_mask(*, num_times: int, num_cells: int, ratio: float, rng: np.random.Generator) -> Mask:
    """Hide the same cells in every slice of time (Tong et al. 2022, arXiv 2203.12602, section 3.3).

    Args:
        num_times: slices of time.
        num_cells: tokens of each.
        ratio: share of cells to hide, rounded down to a whole number of them.
        rng: source of chance.
    """
    is_hidden = np.arange(num_cells) >= num_cells - int(ratio * num_cells)
    return np.tile(rng.permutation(is_hidden), num_times)


def random_mask(*, num_tokens: int, ratio: float, rng: np.random.Generator) -> Mask:
    """Hide any tokens of a clip, as many as ``ratio`` of them rounded down."""
    num_visible = num_tokens - int(ratio * num_tokens)
    return rng.permutation(np.arange(num_tokens) >= num_visible)


def arrival_times(shape: tuple[int, ...], *, rng: np.random.Generator) -> Float32:
    """Return what `attention_mask` is drawn by: exponential variables of rate 1, float32 of ``shape``."""
    return rng.standard_exponential(shape, dtype=np.float32)


def attention_mask(attention: Float32, arrivals: Float32, *, ratio: float) -> Mask:
    """Show the cells that a teacher attends to more often than others, each frame by itself.

    The visible cells of a frame are drawn one after the other without replacement, each with a probability
    in proportion to its attention (Li et al. 2023, arXiv 2303.16058, section 3.1): the first to arrive where
    cells arrive at random with the attention as their rate (Efraimidis and Spirakis 2006).

    Args:
        attention: [T, N], above 0; need not sum to 1.
        arrivals: of `arrival_times`, [T, N].
        ratio: share of the cells of a frame to hide, rounded down to a whole number of them.
    """
    num_cells = attention.shape[1]
    order = np.argsort(arrivals / attention, axis=1, kind="stable")
    is_hidden = np.ones(attention.shape, np.bool_)
    np.put_along_axis(is_hidden, order[:, : num_cells - int(ratio * num_cells)], values=False, axis=1)
    return is_hidden.reshape(-1)
