"""How good codes are: the error of what is rebuilt from them, and how many of them are in use."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import UInt8

MAX_PSNR_DB = 99.0  # of frames rebuilt without any error, whose PSNR would be infinite


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What codes are worth on frames that the codebook was not fitted to.

    Attributes:
        psnr_db: peak signal-to-noise ratio, mean over the frames, each at most 99 dB.
        codes_used: how many different codes the frames have.
        perplexity: two to the entropy of the codes in bits: as many codes, used evenly, would tell as much.
    """

    psnr_db: float
    codes_used: int
    perplexity: float


def measure_quality(frames: UInt8, rebuilt: UInt8, codes: npt.NDArray[Any]) -> Quality:
    """Return the quality of codes.

    Args:
        frames: uint8 [N, H, W, 3].
        rebuilt: from the codes, of the same shape.
        codes: integers [N, h, w].
    """
    shares = np.unique(codes, return_counts=True)[1] / codes.size
    entropy_bits = float(-(shares * np.log2(shares)).sum())
    return Quality(
        psnr_db=round(float(psnr_db(frames, rebuilt).mean()), 3),
        codes_used=len(shares),
        perplexity=round(2**entropy_bits, 1),
    )


def psnr_db(frames: UInt8, rebuilt: UInt8) -> npt.NDArray[np.float64]:
    """Return the peak signal-to-noise ratio of each frame, float64 [N], at most 99 dB."""
    squares = np.square(frames.astype(np.float32) - rebuilt).mean(axis=(1, 2, 3), dtype=np.float64)
    least = 255**2 / 10 ** (MAX_PSNR_DB / 10)
    ratios: npt.NDArray[np.float64] = 10 * np.log10(255**2 / np.maximum(squares, least))
    return ratios
