"""Features as product codes: all levels of a token together, a byte for each group of principal directions.

Levels of one token repeat each other, so they are coded jointly: the token's levels, one after the other, are
turned into their principal directions, and these are cut into groups that carry about 8 bits each (Jégou et
al. 2011, product quantization; Ge et al. 2014, section 4.1, its parametric form). Strong directions make
narrow groups, weak ones wide groups, and the weakest are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vfm.shards.array_types import Float32, Int64, UInt8
from vfm.shards.errors import DamageError
from vfm.shards.io.hashing import sha256

PRODUCT = "pq"  # the name of the storage, before its bytes a token and level: pq:32
CODES = "pq.npy"
TABLES = "pq.safetensors"
NUM_CENTROIDS = 256


class Run(NamedTuple):
    """Neighbouring groups of one width.

    Attributes:
        groups: which of a token's codes.
        directions: which principal directions they stand for.
        width: directions of each group.
        centroids: where their tables lie in `ProductTables.centroids`.
    """

    groups: slice
    directions: slice
    width: int
    centroids: slice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProductTables:
    """What codes stand for.

    Attributes:
        mean: float32 [K · C], of the levels of a token one after the other.
        directions: float32 [D, K · C], orthonormal rows, the strongest first.
        widths: int64 [M], directions of each group; they sum to D.
        centroids: float32 [256 · D], group by group [256, width].
        num_levels: K.
    """

    mean: Float32
    directions: Float32
    widths: Int64
    centroids: Float32
    num_levels: int

    def runs(self) -> Iterator[Run]:
        """Yield groups of one width together: each is decoded by one lookup."""
        borders = [0, *(np.flatnonzero(np.diff(self.widths)) + 1).tolist(), len(self.widths)]
        start = 0
        for first, last in zip(borders[:-1], borders[1:], strict=True):
            width = int(self.widths[first])
            end = start + width * (last - first)
            tables = slice(NUM_CENTROIDS * start, NUM_CENTROIDS * end)
            yield Run(slice(first, last), slice(start, end), width, tables)
            start = end

    def table(self, run: Run) -> Float32:
        """Return the tables of the groups of a run, float32 [groups, 256, width]."""
        return self.centroids[run.centroids].reshape(-1, NUM_CENTROIDS, run.width)

    def decode(self, codes: UInt8) -> Float32:
        """Return features, float32 [..., K, C], of codes [..., M]; their length is about 1."""
        flat = codes.reshape(-1, codes.shape[-1])
        parts = []
        for run in self.runs():
            group = np.arange(run.groups.stop - run.groups.start)
            parts.append(self.table(run)[group, flat[:, run.groups]].reshape(len(flat), -1))
        features = np.concatenate(parts, axis=1) @ self.directions + self.mean
        return features.reshape(*codes.shape[:-1], self.num_levels, -1).astype(np.float32)

    def to_bytes(self) -> bytes:
        """Return the safetensors file that `read_tables` reads."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _NAMES}
        data: bytes = save(arrays, metadata={"num_levels": str(self.num_levels)})
        return data


_NAMES = ("mean", "directions", "widths", "centroids")


def read_tables(path: Path, *, num_levels: int, digest: str | None) -> ProductTables:
    """Return the tables in a file.

    Args:
        path: of the file.
        num_levels: K.
        digest: its SHA-256 as the column's options tell it.

    Raises:
        DamageError: it is not there, or not as it was written.
    """
    try:
        data = path.read_bytes()
        if sha256(data) != digest:
            raise ValueError("its SHA-256 is not the column's")
        arrays: Mapping[str, np.ndarray] = load(data)
        tables = ProductTables(**{name: arrays[name] for name in _NAMES}, num_levels=num_levels)
        fault = _fault(tables)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        fault = str(error).rstrip(".") or type(error).__name__
    if fault:
        raise DamageError(
            f"{path} does not hold the tables of product codes that vfm wrote ({fault}): restore it from a "
            "copy, or drop the column and run the command that made it again."
        )
    return tables


def _fault(tables: ProductTables) -> str | None:
    """Return what does not fit together in tables; None where all does."""
    num_directions = int(tables.widths.sum()) if tables.widths.ndim == 1 else -1
    shapes = {
        "mean": (tables.mean, (tables.mean.size,)),
        "directions": (tables.directions, (num_directions, tables.mean.size)),
        "centroids": (tables.centroids, (NUM_CENTROIDS * num_directions,)),
    }
    for name, (array, shape) in shapes.items():
        if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
            return f"{name} is {array.dtype} {list(array.shape)} and not finite float32 {list(shape)}"
    if not len(tables.widths) or tables.widths.min() < 1 or tables.mean.size % tables.num_levels:
        return "its groups or levels are none"
    return None
