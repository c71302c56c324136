"""Features as a file: an array, a table, or the HDF5 that a column is made of."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

from vfm.shards.errors import UsageError
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.parquet import table_bytes

NPY, PARQUET = ".npy", ".parquet"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """One vector for each video.

    Attributes:
        vectors: float32 [N, D].
        keys: of the samples, or of the videos.
        sources: the videos, as `vfm.shards.format.plan.Source` identifies them.
        labels: class names, None where unknown.
        splits: None where unknown.
    """

    vectors: npt.NDArray[np.float32]
    keys: Sequence[str]
    sources: Sequence[str]
    labels: Sequence[str | None]
    splits: Sequence[str | None]


def check_features_file(path: Path) -> None:
    """Refuse a name that says no kind of file, or that is taken.

    Raises:
        UsageError: it does.
    """
    if path.suffix not in (NPY, PARQUET):
        raise UsageError(
            f"{path} ends neither with {NPY} nor with {PARQUET}, and begins not with vectors., as columns of "
            "a dataset do: name it so."
        )
    if path.exists():
        raise UsageError(f"{path} exists and is not written over: choose another name, or remove it.")


def write_features(path: Path, features: Features) -> None:
    """Write the vectors as ``.npy``, or all that is known as ``.parquet``, a row for each video.

    Raises:
        MachineError: the disk is full or does not allow it.
    """
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _npy(features) if path.suffix == NPY else table_bytes(features_table(features)))


def features_table(features: Features) -> pa.Table:
    """Return key, source, label, split and feature, a list of D floats."""
    vectors = features.vectors
    feature = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    text = {
        "key": features.keys,
        "source": features.sources,
        "label": features.labels,
        "split": features.splits,
    }
    return pa.table(
        {**{name: pa.array(values, pa.string()) for name, values in text.items()}, "feature": feature}
    )


def write_hdf5(path: Path, features: Features) -> None:
    """Write a matrix [1, D] for each key, which `vfm.video2token.jobs.import_hdf5` makes a column of."""
    with h5py.File(path, "w") as file:
        for key, vector in zip(features.keys, features.vectors, strict=True):
            file.create_dataset(key, data=vector[None], track_times=False)


def _npy(features: Features) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, features.vectors)
    return buffer.getvalue()
