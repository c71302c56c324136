"""A teacher's features as they are stored, made into numbers on the device that learns."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vfm.shards.codecs.scalar import FEATURES, SCALE

FEATURES_NAME, SCALE_NAME = FEATURES.removesuffix(".npy"), SCALE.removesuffix(".npy")


def decode_scalar(batch: Mapping[str, Tensor], *, num_levels: int) -> Tensor:
    """Return the features of the last levels, float32 [..., num_levels, C]; see `codecs.scalar`.

    Args:
        batch: ``features`` [..., K, C], int8 with ``scale``, [..., K], or float.
        num_levels: how many of the K levels.
    """
    features = batch[FEATURES_NAME][..., -num_levels:, :].float()
    if SCALE_NAME not in batch:
        return features
    return features * batch[SCALE_NAME][..., -num_levels:, None].to(torch.float32)
