"""HOG of uint8 frames, offline for a column or on line in a loader: one function, one result."""

import numpy as np

from vfm.shards.array_types import Float32, UInt8
from vfm.shards.pixels.hog.compiled import hog_of_frames
from vfm.shards.pixels.hog.definition import MASKFEAT, HogDefinition


def hog(frames: UInt8, definition: HogDefinition = MASKFEAT) -> Float32:
    """Return histograms of oriented gradients, one vector per token and frame, on one core.

    Args:
        frames: uint8 [N, H, W, C], such as RGB; each channel has its own histograms. Pixels right of and
            below the last whole token count as neighbours only.
        definition: of the histograms.

    Returns:
        float32 [N, h, w, F] in [0, 1] with h = H // token_px, w = W // token_px. F runs over channel, bin,
        row and column of the cell inside the token, the last fastest: 3 x 9 x 2 x 2 = 108 for MaskFeat.
        A flat cell is zero. The same bits on every machine, and as ``arrays`` gives.

    Raises:
        UsageError: a frame holds no whole token.
    """
    assert frames.dtype == np.uint8, "pixels as they are stored"
    assert frames.ndim == 4, "[N, H, W, C]"
    return hog_of_frames(np.ascontiguousarray(frames), definition)
