"""Arrays as bytes and back: the npy format without pickle, read without a copy."""

import io

import numpy as np
import numpy.typing as npt

from vfm.shards.errors import DamageError

_HEADER_BYTES = 128  # of a file that `to_npy` writes of one or two axes, whatever their lengths


def to_npy(array: npt.NDArray[np.generic]) -> bytes:
    """Return ``array`` as an ``.npy`` file, the same bytes for the same array; object arrays are refused."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def num_items(sizes_bytes: npt.NDArray[np.int64], *, itemsize: int) -> npt.NDArray[np.int64]:
    """Return how many numbers arrays of up to two axes hold, by the size of their files, int64 [N]."""
    return (sizes_bytes - _HEADER_BYTES) // itemsize


def from_npy(data: bytes | memoryview, *, name: str) -> npt.NDArray[np.generic]:
    """Return a read-only view of the array in ``data``, without a copy.

    Args:
        data: a whole ``.npy`` file.
        name: what the DamageError calls it.

    Raises:
        DamageError: the header is broken, the size is not the header's, or it holds no numbers.
    """
    view = memoryview(data).toreadonly()
    try:
        shape, is_fortran, dtype, start = _header(view)
        if dtype.kind not in "buif":
            raise ValueError(f"it holds {dtype} and no numbers")
        size_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if size_bytes != len(view) - start:
            raise ValueError(f"{len(view) - start} bytes of data where its header says {size_bytes}")
        flat = np.frombuffer(view[start:], dtype=dtype)
        return flat.reshape(shape, order="F" if is_fortran else "C")
    except (ValueError, TypeError, EOFError, OverflowError) as error:
        raise DamageError(
            f"{name} is not an array that vfm wrote ({error}): run `vfm inspect DATA --verify`."
        ) from error


def _header(view: memoryview) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Return shape, whether Fortran order, dtype, and where the values start."""
    file = io.BytesIO(view[: 1 << 16])
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"npy version {version} instead of (1, 0)")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, is_fortran, dtype, file.tell()
