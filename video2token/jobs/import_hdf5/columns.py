"""The two kinds of HDF5 file as targets: arrays are read where other targets compute them."""

import re
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vfm.shards.columns.arrays import VECTORS, array_faults
from vfm.shards.columns.beside import BESIDE
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.hdf5.provenance import BESIDE_GROUP, Provenance
from vfm.shards.hdf5.untrusted import UntrustedFile
from vfm.shards.io.atomic import clean_stale, write_bytes
from vfm.shards.io.hashing import sha256_file
from vfm.shards.reading.dataset import Dataset
from vfm.shards.verification.beside import check_beside
from vfm.shards.wording import counted, listed
from vfm.video2token.jobs.import_hdf5.matching import Named, match
from vfm.video2token.target import Arrays, Target

_NUM_NAMED = 3  # how many of many samples a sentence names
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}\.npy")


class StoredTarget(Target):
    """A target whose arrays lie in a file."""

    def __init__(self, file: UntrustedFile) -> None:
        self._file = file

    def tools(self) -> dict[str, str]:
        """Return the version of h5py."""
        return {"h5py": h5py.__version__}

    def rows(self, dataset: Dataset, indices: Sequence[int]) -> Iterator[Arrays]:
        """Yield the arrays of each sample, checked against the rules of the column's fields.

        Raises:
            DamageError: an array is not what the column holds; names its place in the file.
        """
        for index in indices:
            places = self._places(dataset, index)
            arrays = {field: _narrowed(self._file.read(place)) for field, place in places.items()}
            num_frames = int(dataset.num_frames[index])
            for field, fault in array_faults(arrays, options=self.options, num_frames=num_frames):
                clause = fault.removeprefix("It ").rstrip(".")
                raise DamageError(f"{places[field]} of {self._file.path} {clause}: nothing of it was stored.")
            yield arrays

    @abstractmethod
    def _places(self, dataset: Dataset, index: int) -> Mapping[str, str]:
        """Return where in the file each field of a sample is."""


class ExportedTarget(StoredTarget):
    """A column that ``vfm export-hdf5`` wrote, on its way back to the samples it was computed from."""

    def __init__(self, file: UntrustedFile, provenance: Provenance) -> None:
        super().__init__(file)
        column = provenance.column
        if not column.fields or not all(map(_FIELD.fullmatch, column.fields)):
            raise DamageError(f"The attributes of {file.path} are damaged (fields): export it again.")
        self.name, self.kind, self.fields = column.name, column.kind, column.fields
        self.options, self.fidelity = column.options, column.fidelity
        self._provenance = provenance

    def check(self, dataset: Dataset) -> None:
        """See that the file is of the dataset's frames and samples, and may be read.

        Raises:
            UsageError: it is of others, or holds something that is not to be read.
            DamageError: it is damaged.
        """
        path = self._file.path
        frames = dataset.manifest.columns[FRAMES]
        told = (self._provenance.column.source or "", self._provenance.frames_sha256)
        for what, there, here in zip(
            ("options", "tars"), told, (frames.fingerprint, dataset.tars_sha256(FRAMES)), strict=True
        ):
            if there != here:
                raise UsageError(
                    f"{path} was exported beside other frames, their {what} have the hash {there[:12]} and "
                    f"those of {dataset.data} {here[:12]}: import it where they are the same."
                )
        names = self._file.names()
        wanted = {place for index in range(len(dataset)) for place in self._places(dataset, index).values()}
        found = {name for name in names if not name.startswith(f"{BESIDE_GROUP}/")}
        if found != wanted:
            differing = listed(sorted(found ^ wanted), limit=_NUM_NAMED)
            raise UsageError(
                f"{path} lacks {counted(len(wanted - found), 'array')} of {dataset.data} and has "
                f"{len(found - wanted)} of other samples ({differing}): export it again."
            )
        for name in names:
            self._file.look_at(name)
        self._check_beside(set(names) - found)

    def save_beside(self, folder: Path) -> None:
        """Write what the column keeps beside its shards, where the file has it."""
        self._save(folder, names=self._file.names())

    def _places(self, dataset: Dataset, index: int) -> Mapping[str, str]:
        key = dataset.keys[index]
        if len(self.fields) == 1:
            return {self.fields[0]: key}
        return {field: f"{key}/{field.removesuffix('.npy')}" for field in self.fields}

    def _check_beside(self, names: set[str]) -> None:
        if unknown := names - {f"{BESIDE_GROUP}/{name}" for name in BESIDE}:
            raise UsageError(f"{self._file.path} has {sorted(unknown)[0]}, of no column: export it again.")
        with tempfile.TemporaryDirectory() as folder:
            self._save(Path(folder), names=list(names))
            for finding in check_beside(Path(folder), kind=self.kind, options=self.options):
                told = finding.message.partition(":")[0]
                raise DamageError(
                    f"What {self._file.path} holds beside the arrays is not whole "
                    f"({Path(finding.file).name}: {told}): export it again."
                )

    def _save(self, folder: Path, *, names: Sequence[str]) -> None:
        for name, place in BESIDE.items():
            stored = f"{BESIDE_GROUP}/{name}"
            if stored in names:
                path = folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                clean_stale(path.parent)
                write_bytes(path, self._file.read(stored).tobytes())


class VectorsTarget(StoredTarget):
    """One array [T, C] a video, as code for video and text keeps them; T is the file's own.

    Attributes:
        left_out: ids of the file that no sample has.
        num_narrowed: how many arrays of float64 are stored as float32.
    """

    def __init__(self, file: UntrustedFile, dataset: Dataset, *, name: str) -> None:
        """Find the array of every sample.

        Raises:
            UsageError: a sample has none or several, or an array is not to be read; names a few.
        """
        super().__init__(file)
        samples = [Named(dataset.keys[i], dataset.meta(i).source) for i in range(len(dataset))]
        found = match(file.names(), samples)
        self.left_out = found.left_out
        self._ids = found.ids
        self.num_narrowed = 0
        self.name, self.kind, self.fields = f"vectors.{name}", "vectors", (VECTORS,)
        self.options: dict[str, Any] = {"dim": self._dim(), "file_sha256": sha256_file(file.path)}

    def _places(self, dataset: Dataset, index: int) -> Mapping[str, str]:
        del dataset
        return {VECTORS: self._ids[index]}

    def _dim(self) -> int:
        """Return C, which all arrays share."""
        dims: dict[int, str] = {}
        for id_ in self._ids:
            stored = self._file.look_at(id_)
            if len(stored.shape) != 2 or 0 in stored.shape or stored.dtype.kind != "f":
                raise UsageError(
                    f"{id_} of {self._file.path} holds {stored.dtype} {list(stored.shape)} where floats "
                    "[T, C] belong: write one matrix a video, a row for each time."
                )
            self.num_narrowed += stored.dtype.itemsize == 8
            dims.setdefault(stored.shape[1], id_)
        if len(dims) > 1:
            told = listed([f"{dim} in {id_}" for dim, id_ in sorted(dims.items())], limit=_NUM_NAMED)
            raise UsageError(
                f"The vectors of {self._file.path} differ in length ({told}): import them apart."
            )
        return next(iter(dims), 0)


def _narrowed(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """Return float64 as float32; what is too large for it becomes infinity, which is refused after."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32) if array.dtype == np.float64 else array
