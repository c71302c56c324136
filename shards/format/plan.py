"""The plan: every source and the shard it belongs to, fixed before any work starts."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.classes import classes_json, first_twice, in_order, parse_classes
from vfm.shards.format.keys import check_key
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import canonical_json
from vfm.shards.io.parquet import check_columns, no_table, read_table, table_bytes


class PlanMissingError(DamageError):
    """A dataset has lost its plan, which some of what is done with it can do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source video, or one annotated segment of it, before anything was read from it.

    Attributes:
        key: the sample's name (``vfm.shards.format.keys``).
        identity: stable name relative to the source's root, POSIX style; what ``SampleMeta.source`` records.
        path: the file on this machine that holds the bytes, absolute; not part of the plan's hash.
        labels: class names, empty when unknown; the first is the class of a single-label task.
        captions: texts, empty when unknown.
        split: such as ``train``, None when unknown.
        start_s: begin of an annotated segment, seconds from the video's first frame; None for its begin.
        end_s: its end, None for the video's end.
        size_bytes: size of the video, -1 when it is missing.
        mtime_ns: time of the file's last change, nanoseconds; not part of the plan's hash.
        offset: where in the file the video begins, for a member of a tar; None when it is the whole file.
    """

    key: str
    identity: str
    path: str
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    split: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    size_bytes: int
    mtime_ns: int
    offset: int | None = None

    @property
    def label(self) -> str | None:
        """The first label, which is the class; None when unknown."""
        return self.labels[0] if self.labels else None


# What the plan's hash covers: a moved or touched folder of the same videos keeps its plan.
_HASHED = ("key", "identity", "labels", "captions", "split", "start_s", "end_s", "size_bytes")
_TYPES = {
    "key": pa.string(),
    "identity": pa.string(),
    "path": pa.string(),
    "labels": pa.list_(pa.string()),
    "captions": pa.list_(pa.string()),
    "split": pa.string(),
    "start_s": pa.float64(),
    "end_s": pa.float64(),
    "size_bytes": pa.int64(),
    "mtime_ns": pa.int64(),
    "offset": pa.int64(),
}
_TEXTS = ("key", "identity", "path", "split")
_TEXT_LISTS = ("labels", "captions")
_OPTIONAL = ("split", "start_s", "end_s", "offset")
_CLASSES = "vfm.classes"  # in the metadata of the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All sources in their final order, and the classes in theirs.

    Attributes:
        sources: in the order of the samples.
        samples_per_shard: how many sources each shard has; the last may have fewer.
        classes: every label that occurs, and maybe others; a class index is a position in here.
    """

    sources: tuple[Source, ...]
    samples_per_shard: int
    classes: tuple[str, ...]

    @property
    def num_shards(self) -> int:
        """How many shards each column has."""
        return -(-len(self.sources) // self.samples_per_shard)

    def shard(self, index: int) -> tuple[Source, ...]:
        """Return the sources of one shard, in the order of their samples."""
        if not 0 <= index < self.num_shards:
            raise IndexError(f"shard {index} of {self.num_shards}")
        start = index * self.samples_per_shard
        return self.sources[start : start + self.samples_per_shard]

    @property
    def has_labels(self) -> bool:
        """Whether any source has a label; then every sample gets a ``.cls`` member."""
        return any(source.labels for source in self.sources)

    @property
    def has_captions(self) -> bool:
        """Whether any source has a caption; then every sample gets a ``.txt`` member."""
        return any(source.captions for source in self.sources)

    @property
    def has_splits(self) -> bool:
        """Whether any source has a split."""
        return any(source.split for source in self.sources)

    @property
    def sha256(self) -> str:
        """Hash of what the samples follow from: each source but its path and time, shard size and classes."""
        told: dict[str, Any] = {"samples_per_shard": self.samples_per_shard}
        if list(self.classes) != sorted(_labels(self.sources)):  # else as it was before plans had classes
            told["classes"] = self.classes
        digest = hashlib.sha256(canonical_json(told))
        for source in self.sources:
            digest.update(canonical_json([getattr(source, name) for name in _HASHED]))
        return digest.hexdigest()


def build_plan(sources: Iterable[Source], *, samples_per_shard: int, classes: Sequence[str] = ()) -> Plan:
    """Return the plan of ``sources``, the same whatever order they are given in.

    Sources are ordered by the hash of their key, so that every shard mixes folders and classes.

    Args:
        sources: any order.
        samples_per_shard: at most.
        classes: in the order of their index, those that no source has included; empty means the labels that
            occur, `in_order`.

    Raises:
        UsageError: no sources, a bad key, two sources with one key, no samples to a shard, a class twice, or
            a label that is none of the classes.
    """
    if samples_per_shard < 1:
        raise UsageError(f"A shard cannot hold {samples_per_shard} samples: use 1 or more.")
    ordered = in_plan_order(sources)
    if not ordered:
        raise UsageError("No sources were given: name a video, a folder of videos, or a list.")
    seen: dict[str, Source] = {}
    for source in ordered:
        twin = seen.setdefault(check_key(source.key), source)
        if twin is not source:
            raise UsageError(
                f"Two sources have the key {source.key!r}, {twin.identity} and {source.identity}: "
                "give each a key of its own."
            )
    return Plan(
        sources=tuple(ordered), samples_per_shard=samples_per_shard, classes=_classes_of(ordered, classes)
    )


def in_plan_order(sources: Iterable[Source]) -> list[Source]:
    """Return the sources by the hash of their key, so that any beginning is a fair sample of them."""
    return sorted(sources, key=lambda source: sha256(source.key.encode("utf-8", "surrogateescape")))


def write_plan(path: Path, plan: Plan) -> None:
    """Write the plan as one Parquet table, atomically; columns as in ``Source``, plus ``shard``.

    The classes are in the table's metadata as ``vfm.classes``, a JSON list.
    """
    rows = [_encoded(source) for source in plan.sources]
    arrays: dict[str, Any] = {
        name: pa.array([row[name] for row in rows], dtype) for name, dtype in _TYPES.items()
    }
    num_sources = len(plan.sources)
    arrays["shard"] = pa.array([i // plan.samples_per_shard for i in range(num_sources)], pa.int32())
    arrays["samples_per_shard"] = pa.array([plan.samples_per_shard] * num_sources, pa.int32())
    write_bytes(path, table_bytes(pa.table(arrays), metadata={_CLASSES: classes_json(plan.classes)}))


def read_plan(path: Path) -> Plan:
    """Return the plan in a file.

    Raises:
        DamageError: the file is not as it was written; PlanMissingError where there is none.
    """
    table = _read(path)
    columns = table.to_pydict()
    samples_per_shard = columns["samples_per_shard"]
    rows = zip(*(columns[name] for name in _TYPES), strict=True)
    try:
        sources = tuple(Source(**_decoded(dict(zip(_TYPES, row, strict=True)))) for row in rows)
        if not sources or min(samples_per_shard) < 1 or len(set(samples_per_shard)) > 1:
            raise ValueError("it has no sources, or no one size of its shards")
        for source in sources:
            _check(source)
        classes = _classes_in(table, labels=_labels(sources))
    except (ValueError, UsageError) as error:
        raise no_table(str(path), why=str(error).rstrip(".")) from error
    return Plan(sources=sources, samples_per_shard=samples_per_shard[0], classes=classes)


def read_times(path: Path, *, num_sources: int) -> list[int]:
    """Return when each source of a plan was last changed as the plan was made, nanoseconds, in its order.

    Raises:
        DamageError: the file is not as it was written, is gone, or is of another number of sources.
    """
    times: list[int] = _read(path)["mtime_ns"].to_pylist()
    if len(times) != num_sources:
        raise no_table(str(path), why=f"it has {len(times)} sources where the dataset has {num_sources}")
    return times


def _read(path: Path) -> pa.Table:
    try:
        table = read_table(path)
    except FileNotFoundError:
        raise PlanMissingError(f"{path} is missing: restore it from a copy.") from None
    types = {**_TYPES, "shard": pa.int32(), "samples_per_shard": pa.int32()}
    check_columns(table, types, name=str(path), optional=_OPTIONAL)
    return table


def _classes_of(sources: Iterable[Source], classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that a plan shall have: those given, which must hold every label."""
    if not classes:
        return in_order(_labels(sources))
    if (twice := first_twice(classes)) is not None:
        raise UsageError(f"The class {twice!r} is given twice: give each class once.")
    known = set(classes)
    for source in sources:
        if strange := [label for label in source.labels if label not in known]:
            raise UsageError(
                f"{source.identity} has the label {strange[0]!r}, which is none of the classes given: "
                "correct it, or add it to them."
            )
    return tuple(classes)


def _labels(sources: Iterable[Source]) -> set[str]:
    return {label for source in sources for label in source.labels}


def _classes_in(table: pa.Table, *, labels: set[str]) -> tuple[str, ...]:
    stored = table.schema.metadata.get(_CLASSES.encode())
    # Before plans had classes, labels were numbered as texts sort.
    return tuple(sorted(labels)) if stored is None else parse_classes(stored, labels=labels)


def _check(source: Source) -> None:
    """Raise ValueError or UsageError for values that no source has."""
    check_key(source.key)
    if not all(isfinite(second) for second in (source.start_s, source.end_s) if second is not None):
        raise ValueError(f"{source.key} begins or ends at a value that is not a number")
    if source.size_bytes < -1 or (source.offset or 0) < 0:
        raise ValueError(f"{source.key} has {source.size_bytes} bytes at {source.offset}")


def _encoded(source: Source) -> dict[str, Any]:
    row = {name: getattr(source, name) for name in _TYPES}
    row |= {name: _to_text(row[name]) for name in _TEXTS}
    return row | {name: [_to_text(text) for text in row[name]] for name in _TEXT_LISTS}


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    row |= {name: _from_text(row[name]) for name in _TEXTS}
    return row | {name: tuple(map(_from_text, row[name])) for name in _TEXT_LISTS}


def _to_text(text: str | None) -> str | None:
    """Return ``text`` as Parquet can hold it: a JSON string where it is not UTF-8 or looks like one."""
    if text is None:
        return None
    if text.startswith('"') or not _is_utf8(text):
        return json.dumps(text)
    return text


def _from_text(text: str | None) -> str | None:
    # What starts with a quote and is JSON is a string.
    return json.loads(text) if text is not None and text.startswith('"') else text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
