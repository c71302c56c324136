"""What the arrays of a target column must be, given the column's options: type, shape and range."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vfm.shards.codecs.product import CODES as PRODUCT_CODES
from vfm.shards.codecs.scalar import DTYPES as FEATURE_DTYPES
from vfm.shards.codecs.scalar import FEATURES, SCALE
from vfm.shards.columns.options import views_in
from vfm.shards.errors import DamageError
from vfm.shards.pixels.hog.storage import DTYPES

Array = npt.NDArray[np.generic]

CODES = "codes.npy"
ATTENTION = "attention.npy"
VECTORS = "vectors.npy"
_NUM_AXES = {
    CODES: 4,
    "hog.npy": 5,
    FEATURES: 6,
    SCALE: 5,
    PRODUCT_CODES: 5,
    ATTENTION: 4,
    "ids.npy": 2,
    "num_ids.npy": 1,
    VECTORS: 2,
}
_FLOATS = ("float16", "float32")
_DTYPES = {
    "num_ids.npy": ("uint16",),
    SCALE: ("float16",),
    PRODUCT_CODES: ("uint8",),
    ATTENTION: _FLOATS,
    VECTORS: _FLOATS,
}
_UNSIGNED = ("uint8", "uint16", "uint32")
_OF_VOCABULARY = (CODES, "ids.npy")
_OF_TEACHER = (FEATURES, SCALE, PRODUCT_CODES, ATTENTION)
_OF_NETWORK = (*_OF_TEACHER, VECTORS)
_SIZES = {
    FEATURES: ("levels", "dim"),
    SCALE: ("levels",),
    PRODUCT_CODES: ("pq_codes",),
    VECTORS: ("dim",),
}  # options that tell the last axes
_PER_FRAME = (CODES, "hog.npy", *_OF_TEACHER)  # [views, frames, rows, columns, ...]


def check_codes(
    codes: Array, *, name: str, num_frames: int, vocab_size: int, grid: tuple[int, int] | None = None
) -> None:
    """Refuse an array that is not codes of a codebook, before it is learned from in silence.

    Args:
        codes: unsigned integers [V, T, h, w].
        name: what the DamageError calls it.
        num_frames: T.
        vocab_size: codes are below it.
        grid: (h, w); None for any.

    Raises:
        DamageError: naming what differs.
    """
    fault = _fault(CODES, codes, options={"vocab_size": vocab_size}, num_frames=num_frames)
    if fault is None and grid is not None and codes.shape[2:] != grid:
        fault = f"has a grid of {list(codes.shape[2:])} where {list(grid)} belongs"
    if fault is not None:
        raise DamageError(f"{name} {fault}: recompute the column with `vfm tokenize`.")


def array_faults(
    arrays: Mapping[str, Array], *, options: Mapping[str, Any], num_frames: int
) -> Iterator[tuple[str, str]]:
    """Yield (field, sentence) for each array of a sample that its column's target does not write."""
    for field, array in arrays.items():
        fault = _fault(field, array, options=options, num_frames=num_frames)
        if fault is not None:
            yield field, f"It {fault}."
    if {"ids.npy", "num_ids.npy"} <= arrays.keys():
        ids, num_ids = arrays["ids.npy"], arrays["num_ids.npy"]
        if num_ids.shape != ids.shape[:1] or (num_ids.size and int(num_ids.max()) > ids.shape[-1]):
            yield "num_ids.npy", "It does not count the ids beside it."


def _fault(field: str, array: Array, *, options: Mapping[str, Any], num_frames: int) -> str | None:
    num_axes = _NUM_AXES.get(field, array.ndim)
    dtypes = _dtypes(field, options)
    if array.ndim != num_axes or (dtypes and array.dtype.name not in dtypes):
        return (
            f"holds {array.dtype} {list(array.shape)} where {' or '.join(dtypes)} of {num_axes} axes belongs"
        )
    if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
        return "holds NaN or infinity"
    if field in _PER_FRAME and (fault := _shape_fault(array, options=options, num_frames=num_frames)):
        return fault
    if field in _OF_NETWORK and (fault := _feature_fault(field, array, options)):
        return fault
    if field in _OF_VOCABULARY and "vocab_size" in options and array.size:
        most, vocab_size = int(array.max()), options["vocab_size"]
        if most >= vocab_size:
            home = "codebook" if field == CODES else "vocabulary"
            return f"holds the code {most}, and its {home} has {vocab_size}"
    return None


def _dtypes(field: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    if field in _OF_VOCABULARY:
        return (options["dtype"],) if options.get("dtype") in _UNSIGNED else _UNSIGNED
    if field == "hog.npy":
        return (DTYPES[options["store"]],) if options.get("store") in DTYPES else tuple(DTYPES.values())
    if field == FEATURES:
        return (FEATURE_DTYPES[options["store"]],) if options.get("store") in FEATURE_DTYPES else ()
    return _DTYPES.get(field, ())


def _shape_fault(array: Array, *, options: Mapping[str, Any], num_frames: int) -> str | None:
    views = views_in(options, name="the column")
    shape = array.shape
    if shape[1] != num_frames or not array.size or (views and shape[0] != len(views)):
        return f"has the shape {list(shape)} for {len(views) or 'some'} views and {num_frames} frames"
    grid = _grid_of(options)
    if grid is not None and shape[2:4] != grid:
        return f"has a grid of {list(shape[2:4])} where its options make it {list(grid)}"
    return None


def _feature_fault(field: str, array: Array, options: Mapping[str, Any]) -> str | None:
    """Return what is wrong with features, attention or vectors that have the right axes."""
    if field == ATTENTION and not np.greater(array, 0).all():
        return "holds attention that is zero or below"
    expected = _SIZES.get(field, ())
    sizes = [options[name] for name in expected if name in options]
    found, what = (array.shape[1:], "row") if field == VECTORS else (array.shape[4:], "token")
    if len(sizes) == len(expected) and list(found) != sizes:
        return f"holds {list(found)} numbers a {what} where its options make it {sizes}"
    return None


def _grid_of(options: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return rows and columns of every frame's grid; None where the options do not tell."""
    views = views_in(options, name="the column")
    stride = options.get("stride", options.get("token_px"))
    sides = {view.crop_px // stride for view in views} if stride else set()
    if len(sides) != 1:
        return None
    (side,) = sides
    return side, side
