"""Pixels as networks want them: from bytes to floats, and to the mean and deviation of ImageNet."""

import torch
from torch import Tensor

from vfm.shards.pixels.imagenet import MEAN, STD


def to_unit_range(clips: Tensor) -> Tensor:
    """Return clips in 0 to 1: float32 of uint8, and what is in that range already as it is."""
    return clips if clips.is_floating_point() else clips.float() / 255


def to_float(clips: Tensor) -> Tensor:
    """Return float32 [B, 3, T, H, W] in 0 to 1 of clips [B, T, H, W, 3], see `to_unit_range`."""
    return to_unit_range(clips.permute(0, 4, 1, 2, 3))


def normalize(clips: Tensor) -> Tensor:
    """Return clips [B, 3, T, H, W] in 0 to 1 with ImageNet's mean 0 and deviation 1, colour by colour."""
    mean, deviation = (torch.tensor(values, device=clips.device).view(3, 1, 1, 1) for values in (MEAN, STD))
    return (clips - mean) / deviation
