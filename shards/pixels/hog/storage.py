"""How HOG is kept on disk: a byte, half a float32 or all of it per value."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Float32
from vfm.shards.errors import UsageError

DTYPES = {"uint8": "uint8", "fp16": "float16", "fp32": "float32"}
SCALES = {"uint8": 255, "fp16": 1, "fp32": 1}  # what a value in [0, 1] is multiplied by


def to_stored(values: Float32, store: str) -> npt.NDArray[Any]:
    """Return HOG values in [0, 1] as they are stored.

    Args:
        values: float32, any shape.
        store: ``uint8``, the nearest multiple of 1/255, off by up to 1/510; or ``fp16``, off by up to 1/4096;
            or ``fp32``, as they are.

    Raises:
        UsageError: no such storage.
    """
    if store not in SCALES:
        raise UsageError(f"HOG cannot be stored as {store!r}: use one of {', '.join(SCALES)}.")
    if store != "uint8":
        return values.astype(DTYPES[store])
    stored: npt.NDArray[np.uint8] = np.rint(values * np.float32(SCALES[store])).astype(np.uint8)
    return stored


def from_stored(stored: npt.NDArray[Any]) -> Float32:
    """Return the values, float32, of what ``to_stored`` made."""
    assert stored.dtype in (np.uint8, np.float16, np.float32), "stored HOG"
    values = stored.astype(np.float32)
    return values / np.float32(SCALES["uint8"]) if stored.dtype == np.uint8 else values
