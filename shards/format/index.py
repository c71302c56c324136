"""The index of a shard: where every member and every JPEG is in the tar, and what its bytes must sum to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import pyarrow.compute as pc  # type: ignore[import-untyped]

from vfm.shards.array_types import Int64, UInt32
from vfm.shards.errors import DamageError
from vfm.shards.format.keys import KEY_PATTERN
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.hashing import sha256 as sha256_of
from vfm.shards.io.parquet import check_columns, no_table, numbers_of, parse_table, table_bytes

FRAME_FIELD = "mp4"
_FRAME_COLUMNS = ("frame_offset", "frame_size", "frame_crc32")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """What the maker of a sample tells the index; members and checksums the writer finds itself.

    Attributes:
        num_frames: frames of the sample.
        class_index: position in the manifest's classes, -1 unknown.
        split: such as ``train``, empty unknown.
        frame_offsets: where each JPEG starts inside the ``mp4`` member, bytes; empty for target columns.
        frame_sizes: length of each JPEG, bytes.
    """

    num_frames: int
    class_index: int = -1
    split: str = ""
    frame_offsets: Sequence[int] = ()
    frame_sizes: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some bytes of a tar: where they start, how many they are, and their CRC-32."""

    offset: int
    size_bytes: int
    crc32: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSample:
    """One sample as the writer put it into the tar; all offsets count from the start of the tar."""

    key: str
    row: IndexRow
    members: dict[str, Span]
    frames: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The index of one shard, or of many one after the other; N samples, F fields, M frames in all.

    Attributes:
        keys: bytes [N], ASCII.
        fields: names of the members, in their order in the tar.
        offsets: int64 [N, F], start of each member's bytes in its tar.
        sizes: int64 [N, F], bytes.
        crcs: uint32 [N, F].
        num_frames: int64 [N].
        class_index: int64 [N], -1 unknown.
        split: str [N], empty unknown.
        frame_splits: int64 [N + 1]; frames of sample i are ``frame_splits[i]:frame_splits[i + 1]``.
        frame_offsets: int64 [M], start of each JPEG in its tar.
        frame_sizes: uint32 [M], bytes.
        frame_crcs: uint32 [M].
    """

    keys: npt.NDArray[np.bytes_]
    fields: tuple[str, ...]
    offsets: Int64
    sizes: Int64
    crcs: UInt32
    num_frames: Int64
    class_index: Int64
    split: npt.NDArray[np.str_]
    frame_splits: Int64
    frame_offsets: Int64
    frame_sizes: UInt32
    frame_crcs: UInt32

    def __len__(self) -> int:
        return len(self.keys)

    def member(self, row: int, name: str) -> Span:
        """Return where a member is; KeyError when the shard has no such field."""
        if name not in self.fields:
            raise KeyError(name)
        column = self.fields.index(name)
        return Span(
            offset=int(self.offsets[row, column]),
            size_bytes=int(self.sizes[row, column]),
            crc32=int(self.crcs[row, column]),
        )

    def frame(self, row: int, time: int) -> Span:
        """Return where a JPEG is; IndexError when the sample has fewer frames."""
        start, end = int(self.frame_splits[row]), int(self.frame_splits[row + 1])
        if not 0 <= time < end - start:
            raise IndexError(f"frame {time} of {end - start}")
        at = start + time
        return Span(
            offset=int(self.frame_offsets[at]),
            size_bytes=int(self.frame_sizes[at]),
            crc32=int(self.frame_crcs[at]),
        )


def write_index(path: Path, entries: Sequence[WrittenSample]) -> str:
    """Write the index of a shard as Parquet, atomically, and return its SHA-256.

    One row per sample: ``key, num_frames, class_index, split``, for each field ``FIELD_offset``,
    ``FIELD_size``, ``FIELD_crc32``, and the lists ``frame_offset``, ``frame_size``, ``frame_crc32``.
    """
    data = table_bytes(_table(entries))
    write_bytes(path, data)
    return sha256_of(data)


def read_index(path: Path, *, sha256: str, with_frames: bool = True) -> Index:
    """Return the index of a shard.

    Args:
        path: the index.
        sha256: what the shard's report says it hashes to.
        with_frames: False leaves the spans of the JPEGs out, which are most of it.

    Raises:
        DamageError: its hash is another, or it is gone.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DamageError(
            f"{path} is missing although its shard is done: restore it from a copy, "
            "or delete the shard's .json and run the command that made it again."
        ) from None
    if sha256_of(data) != sha256:
        raise DamageError(
            f"{path} does not match the hash in its shard's report: run `vfm inspect DATA --verify`."
        )
    table = parse_table(data, name=str(path), leave_out=() if with_frames else _FRAME_COLUMNS)
    _check(table, name=str(path), with_frames=with_frames)
    return _index(table)


def spans_fit(index: Index, *, size_bytes: int) -> bool:
    """Return whether every member lies within a tar of this size."""
    return bool((index.sizes <= size_bytes).all() and (index.offsets <= size_bytes - index.sizes).all())


def _check(table: pa.Table, *, name: str, with_frames: bool) -> None:
    """Refuse a table of other columns, types or ranges than ``write_index`` gives it."""
    fields = _fields(table)
    types = {"key": pa.string(), "num_frames": pa.int64(), "class_index": pa.int64(), "split": pa.string()}
    for field in fields:
        types |= {f"{field}_offset": pa.int64(), f"{field}_size": pa.int64(), f"{field}_crc32": pa.uint32()}
    if with_frames:
        types |= dict(zip(_FRAME_COLUMNS, map(pa.list_, (pa.int64(), pa.uint32(), pa.uint32())), strict=True))
    check_columns(table, types, name=name, optional=())
    if not fields or not len(table):
        raise no_table(name, why="it has no members")
    # Compared by Arrow, as there may be millions.
    if not pc.all(pc.match_substring_regex(table["key"], rf"\A{KEY_PATTERN}\z")).as_py():
        raise no_table(name, why="a key cannot name a sample")
    counts = ["num_frames", *(f"{field}_{what}" for field in fields for what in ("offset", "size"))]
    least = {"class_index": -1, **dict.fromkeys(counts, 0)}
    for column, limit in least.items():
        if pc.min(table[column]).as_py() < limit:
            raise no_table(name, why=f"column {column} falls below {limit}")
    if with_frames:
        lengths = [pc.list_value_length(table[column]) for column in _FRAME_COLUMNS]
        if not lengths[0].equals(lengths[1]) or not lengths[0].equals(lengths[2]):
            raise no_table(name, why="its lists of frames differ in length")


def concatenate(indexes: Sequence[Index]) -> Index:
    """Return the indexes of many shards as one; they have the same fields, and there is at least one."""
    members = ("keys", "offsets", "sizes", "crcs", "num_frames", "class_index", "split")
    frames = ("frame_offsets", "frame_sizes", "frame_crcs")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(index, name) for index in indexes]) for name in (*members, *frames)
    }
    counts = np.concatenate([np.diff(index.frame_splits) for index in indexes])
    return Index(fields=indexes[0].fields, frame_splits=_splits(counts), **joined)


def empty_index(fields: tuple[str, ...]) -> Index:
    """Return the index of a shard without samples."""
    none = np.zeros(0, np.int64)
    return Index(
        keys=np.zeros(0, "S1"),
        fields=fields,
        offsets=np.zeros((0, len(fields)), np.int64),
        sizes=np.zeros((0, len(fields)), np.int64),
        crcs=np.zeros((0, len(fields)), np.uint32),
        num_frames=none,
        class_index=none,
        split=np.zeros(0, "U1"),
        frame_splits=np.zeros(1, np.int64),
        frame_offsets=none,
        frame_sizes=none.astype(np.uint32),
        frame_crcs=none.astype(np.uint32),
    )


def _table(entries: Sequence[WrittenSample]) -> pa.Table:
    fields = tuple(entries[0].members)
    columns: dict[str, Any] = {
        "key": pa.array([entry.key for entry in entries], pa.string()),
        "num_frames": pa.array([entry.row.num_frames for entry in entries], pa.int64()),
        "class_index": pa.array([entry.row.class_index for entry in entries], pa.int64()),
        "split": pa.array([entry.row.split for entry in entries], pa.string()),
    }
    for name in fields:
        spans = [entry.members[name] for entry in entries]
        columns[f"{name}_offset"] = pa.array([span.offset for span in spans], pa.int64())
        columns[f"{name}_size"] = pa.array([span.size_bytes for span in spans], pa.int64())
        columns[f"{name}_crc32"] = pa.array([span.crc32 for span in spans], pa.uint32())
    frames = [entry.frames for entry in entries]
    columns["frame_offset"] = pa.array([[s.offset for s in spans] for spans in frames], pa.list_(pa.int64()))
    columns["frame_size"] = pa.array(
        [[s.size_bytes for s in spans] for spans in frames], pa.list_(pa.uint32())
    )
    columns["frame_crc32"] = pa.array([[s.crc32 for s in spans] for spans in frames], pa.list_(pa.uint32()))
    return pa.table(columns)


def _index(table: pa.Table) -> Index:
    fields = _fields(table)
    return Index(
        keys=np.array(table.column("key").to_pylist(), "S"),
        fields=fields,
        offsets=_stack(table, [f"{name}_offset" for name in fields]),
        sizes=_stack(table, [f"{name}_size" for name in fields]),
        crcs=_stack(table, [f"{name}_crc32" for name in fields]),
        num_frames=numbers_of(table.column("num_frames")),
        class_index=numbers_of(table.column("class_index")),
        split=np.array(table.column("split").to_pylist(), "U"),
        **_frame_arrays(table),
    )


def _fields(table: pa.Table) -> tuple[str, ...]:
    names = (name for name in table.column_names if name.endswith("_offset") and name != _FRAME_COLUMNS[0])
    return tuple(name.removesuffix("_offset") for name in names)


def _frame_arrays(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """Return the four arrays of the frames' spans; without spans where the table has none."""
    if _FRAME_COLUMNS[0] not in table.column_names:
        no_frames, none = np.zeros(len(table) + 1, np.int64), np.zeros(0, np.uint32)
        return {
            "frame_splits": no_frames,
            "frame_offsets": none.astype(np.int64),
            "frame_sizes": none,
            "frame_crcs": none,
        }
    offsets, sizes, crcs = (table.column(name).combine_chunks() for name in _FRAME_COLUMNS)
    return {
        "frame_splits": numbers_of(offsets.offsets).astype(np.int64),
        "frame_offsets": numbers_of(offsets.flatten()),
        "frame_sizes": numbers_of(sizes.flatten()),
        "frame_crcs": numbers_of(crcs.flatten()),
    }


def _stack(table: pa.Table, names: list[str]) -> npt.NDArray[Any]:
    return np.stack([numbers_of(table.column(name)) for name in names], axis=1)


def _splits(counts: npt.NDArray[Any]) -> Int64:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
