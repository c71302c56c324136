"""Tube masks: the same cells are hidden in every frame (Tong et al. 2022, section 3.3)."""

import numpy as np
import numpy.typing as npt


def tube_mask(
    *, num_times: int, num_cells: int, ratio: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return which tokens are hidden, bool [num_times · num_cells], time first.

    Args:
        num_times: slices of time.
        num_cells: tokens of each.
        ratio: share of cells to hide, rounded down to a whole number of them.
        rng: source of chance.
    """
    is_hidden = np.arange(num_cells) >= num_cells - int(ratio * num_cells)
    return np.tile(rng.permutation(is_hidden), num_times)
