"""Pixels as networks want them: from bytes to floats, and to the mean and deviation of ImageNet."""

import torch
from torch import Tensor

from vfm.shards.pixels.imagenet import MEAN, STD


def to_float(clips: Tensor) -> Tensor:
    """Return float32 [B, 3, T, H, W] in 0 to 1 of clips [B, T, H, W, 3], uint8 or float in 0 to 1."""
    planes = clips.permute(0, 4, 1, 2, 3)
    return planes if clips.is_floating_point() else planes.float() / 255


def normalize(clips: Tensor) -> Tensor:
    """Return clips [B, 3, T, H, W] in 0 to 1 with ImageNet's mean 0 and deviation 1, colour by colour."""
    mean, deviation = (torch.tensor(values, device=clips.device).view(3, 1, 1, 1) for values in (MEAN, STD))
    return (clips - mean) / deviation
