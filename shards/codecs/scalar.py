"""Features number by number: float32, float16, or a byte with a scale to each token and level."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Float32

FEATURES = "features.npy"
SCALE = "scale.npy"
DTYPES = {"fp32": "float32", "fp16": "float16", "int8": "int8"}  # by the name of a storage
_MAX = 127  # so that a sign changes nothing
_ONE_UP = np.float32(1 + 2**-10)  # a scale rounded down to half precision would leave int8


def encode(features: Float32, store: str) -> dict[str, npt.NDArray[Any]]:
    """Return the members that keep features.

    Args:
        features: float32 [..., C], vectors of about unit length.
        store: a key of `DTYPES`. ``int8`` is off by up to 1/253 of a vector's largest number.

    Returns:
        ``features.npy`` [..., C]; with ``int8`` also ``scale.npy``, float16 [...].
    """
    if store != "int8":
        return {FEATURES: features.astype(DTYPES[store])}
    scale = (np.abs(features).max(axis=-1) * (_ONE_UP / _MAX)).astype(np.float16)
    steps = np.where(scale > 0, scale, 1).astype(np.float32)[..., None]
    return {FEATURES: np.rint(features / steps).astype(np.int8), SCALE: scale}


def encode_attention(attention: Float32, store: str) -> npt.NDArray[Any]:
    """Return attention as it is kept beside features: float32 beside float32, else float16.

    It is never zero: a patch that is could never be seen.
    """
    dtype = np.float32 if store == "fp32" else np.float16
    return np.maximum(attention, np.finfo(dtype).smallest_subnormal).astype(dtype)


def decode(members: dict[str, npt.NDArray[Any]]) -> Float32:
    """Return the features, float32 [..., C], that ``encode`` was given, or nearly so."""
    features: Float32 = members[FEATURES].astype(np.float32)
    return features * members[SCALE].astype(np.float32)[..., None] if SCALE in members else features
