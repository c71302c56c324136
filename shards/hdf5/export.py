"""``vfm export-hdf5``: one target column as one HDF5 file, which appears whole or not at all."""

import io
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from vfm.shards.columns.beside import BESIDE
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.hdf5.provenance import BESIDE_GROUP, root_attributes
from vfm.shards.io.atomic import publish, temp_path
from vfm.shards.io.faults import disk_faults
from vfm.shards.progress import NoProgress, Progress
from vfm.shards.reading.dataset import Dataset, open_dataset

_CHUNK_BYTES = 256 << 10  # a few pages of the disk, and four of them fit into h5py's cache of chunks
_HDF5_VERSIONS = ("v110", "v110")  # read since 2016; checksums of metadata, and a group of any size is fast


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an HDF5 file holds.

    Attributes:
        file: where it is.
        column: its name.
        num_samples: of the dataset, all of them.
        size_bytes: of the file.
    """

    file: str
    column: str
    num_samples: int
    size_bytes: int


def export_hdf5(data: Path, column: str, out: Path, *, progress: Progress | None = None) -> Exported:
    """Write the arrays of one target column to the new file ``out``.

    Args:
        data: a dataset in which the column is complete.
        column: its name.
        out: the file; no file of that name may exist.
        progress: receives progress updates.

    Raises:
        UsageError: the column is the frames, missing or not finished, or ``out`` exists.
        DamageError: an array is not as it was written.
        MachineError: the disk is full or does not allow it.
    """
    if column == FRAMES:
        raise UsageError(
            f"Column {FRAMES} holds videos and no arrays: name a target column, or read its tars as they are."
        )
    dataset = open_dataset(data, columns=(FRAMES, column))
    _refuse_existing(out)
    progress = progress or NoProgress()
    progress.start(len(dataset), "samples")
    try:
        with disk_faults(out), _published(out) as file:
            _write(file, dataset, column, progress=progress)
    finally:
        progress.finish()
    return Exported(file=str(out), column=column, num_samples=len(dataset), size_bytes=out.stat().st_size)


def chunk_shape(shape: tuple[int, ...], *, itemsize: int) -> tuple[int, ...] | None:
    """Return the chunks of an array: as many whole frames as fit, and about as many in each.

    Args:
        shape: such as [views, frames, rows, columns]; the last axes are kept whole as far as possible.
        itemsize: bytes of a number.

    Returns:
        As many numbers as ``shape``; None for an array without numbers, which has no chunks.
    """
    if not math.prod(shape) or not shape:
        return None
    chunk = list(shape)
    for axis, length in enumerate(shape):
        inner_bytes = math.prod(chunk[axis + 1 :]) * itemsize
        fitting = max(1, min(length, _CHUNK_BYTES // inner_bytes))
        # 16 frames of which 12 fit are two chunks of 8: what a last chunk lacks is stored all the same.
        chunk[axis] = -(-length // -(-length // fitting))
        if inner_bytes <= _CHUNK_BYTES:
            break
    return tuple(chunk)


class _Disk(io.FileIO):
    """The file that HDF5 writes to, which keeps the first fault to itself until it is asked.

    HDF5 answers a fault of the disk with tracebacks on stderr and loses errno.
    """

    fault: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of ``data``; nothing more after a fault."""
        view = memoryview(data).cast("B")
        start = 0
        try:
            while self.fault is None and start < len(view):
                start += super().write(view[start:]) or 0
        except OSError as error:
            self.fault = error
        return len(view)

    def truncate(self, size_bytes: int | None = None, /) -> int:
        """Set the length of the file, which HDF5 does at its end; nothing after a fault."""
        try:
            return self.tell() if self.fault is not None else super().truncate(size_bytes)
        except OSError as error:
            self.fault = error
            return self.tell()

    def check(self) -> None:
        """Raise the fault there was."""
        if self.fault is not None:
            raise self.fault


def _refuse_existing(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists already: delete it, or choose another name.")
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} is not a folder: make it first, or choose another.")


@contextmanager
def _published(out: Path) -> Iterator[_Disk]:
    """Give the block a file that gets the name ``out`` when the block ends well."""
    temp = temp_path(out)
    try:
        with closing(_Disk(temp, "w+")) as file:
            yield file
        file.check()
        with temp.open("rb") as whole:
            _refuse_existing(out)
            publish(whole, out)
    finally:
        temp.unlink(missing_ok=True)


def _write(disk: _Disk, dataset: Dataset, name: str, *, progress: Progress) -> None:
    """Write a column in another thread: HDF5 calls back into `_Disk`, where no signal may raise.

    Python raises what a signal asks for in the main thread, between two steps of a callback too, and HDF5
    would lose the write and go on.
    """
    column = dataset.manifest.columns[name]
    with ThreadPoolExecutor(1) as thread:
        file = thread.submit(h5py.File, disk, "w", libver=_HDF5_VERSIONS).result()
        try:
            thread.submit(file.attrs.update, root_attributes(dataset, column)).result()
            for index, key in enumerate(dataset.keys):
                arrays = {
                    field.removesuffix(".npy"): dataset.array(index, name, field) for field in column.fields
                }
                thread.submit(_add, file, key, arrays, _attributes(dataset, index)).result()
                disk.check()
                progress.advance(ok=1, num_frames=int(dataset.num_frames[index]))
            thread.submit(_add_beside, file, dataset.data / name).result()
        except (OSError, RuntimeError):
            disk.check()  # HDF5 stumbles over what was not written
            raise
        finally:
            thread.submit(file.close).result()


def _add(
    file: h5py.File, key: str, arrays: Mapping[str, npt.NDArray[Any]], attributes: Mapping[str, Any]
) -> None:
    """Add a sample: a data set where it has one array, else a group of them."""
    if len(arrays) == 1:
        (array,) = arrays.values()
        target: h5py.HLObject = _add_array(file, key, array)
    else:
        target = file.create_group(key)
        for field, array in arrays.items():
            _add_array(target, field, array)
    target.attrs.update(attributes)


def _add_array(group: h5py.Group, name: str, array: npt.NDArray[Any]) -> h5py.Dataset:
    chunks = chunk_shape(array.shape, itemsize=array.dtype.itemsize)
    return group.create_dataset(name, data=array, chunks=chunks, fletcher32=chunks is not None)


def _attributes(dataset: Dataset, index: int) -> dict[str, Any]:
    """Return what is known of a sample."""
    meta = dataset.meta(index)
    return {
        "source": _text(meta.source),
        "labels": np.array([_text(label) for label in meta.labels], h5py.string_dtype()),
        "class_index": int(dataset.class_indices[index]),
        "split": _text(str(dataset.splits[index])),
        "num_frames": int(dataset.num_frames[index]),
    }


def _text(value: str) -> str:
    """Return a text that HDF5 can hold: it has no way to say NUL or bytes that are not UTF-8."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _add_beside(file: h5py.File, folder: Path) -> None:
    """Add what a column of codes keeps beside its shards, bytes as they are in its files."""
    for name, place in BESIDE.items():
        path = folder / place
        if path.exists():
            _add_array(file.require_group(BESIDE_GROUP), name, np.fromfile(path, np.uint8))
