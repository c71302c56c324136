"""The kernels of HOG that other projects save with their weights; vfm computes HOG without them."""

import torch
from torch import Tensor

from vfm.shards.pixels.hog.definition import MMSELFSUP

_NUM_COLORS = 3


def sobel() -> tuple[Tensor, Tensor]:
    """Return the filters across and down, float32 [3, 1, 3, 3] each, one for each color."""
    across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    return tuple(kernel.repeat(_NUM_COLORS, 1, 1, 1) for kernel in (across, across.T))  # type: ignore[return-value]


def gaussian() -> Tensor:
    """Return the window that MMSelfSup multiplies magnitudes by, float32 [16, 16]."""
    side_px = MMSELFSUP.window_px
    return torch.from_numpy(MMSELFSUP.weights(side_px, side_px))
