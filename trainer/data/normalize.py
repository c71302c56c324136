"""Pixels as networks want them: from bytes to floats, and to a mean of 0 and a deviation of 1."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vfm.shards.pixels.imagenet import MEAN, STD


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """What pixels in 0 to 1 are brought to mean 0 and deviation 1 by, colour by colour.

    Attributes:
        mean: that becomes 0: red, green, blue.
        deviation: that becomes 1.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


IMAGENET = Normalization(mean=MEAN, deviation=STD)
# 114.75 and 57.375 of 255, in the configurations of MMAction2's projects/umt.
SLOWFAST = Normalization(mean=(0.45, 0.45, 0.45), deviation=(0.225, 0.225, 0.225))


def to_unit_range(clips: Tensor) -> Tensor:
    """Return clips in 0 to 1: float32 of uint8, and what is in that range already as it is."""
    return clips if clips.is_floating_point() else clips.float() / 255


def to_float(clips: Tensor) -> Tensor:
    """Return float32 [B, 3, T, H, W] in 0 to 1 of clips [B, T, H, W, 3], see `to_unit_range`."""
    return to_unit_range(clips.permute(0, 4, 1, 2, 3))


def normalize(clips: Tensor, *, by: Normalization = IMAGENET) -> Tensor:
    """Return clips [B, 3, T, H, W] in 0 to 1 with mean 0 and deviation 1, colour by colour."""
    values = (by.mean, by.deviation)
    mean, deviation = (torch.tensor(value, device=clips.device).view(3, 1, 1, 1) for value in values)
    return (clips - mean) / deviation
