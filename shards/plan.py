"""The plan: every source and the shard it belongs to, fixed before any work starts."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

from vfm.shards.atomic import canonical_json, sha256, write_bytes
from vfm.shards.errors import UsageError
from vfm.shards.keys import check_key
from vfm.shards.tables import read_table, table_bytes

PLAN_NAME = "plan.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source video, or one annotated segment of it, before anything was read from it.

    Attributes:
        key: the sample's name (``vfm.shards.keys``).
        identity: stable name relative to the source's root, POSIX style; what ``SampleMeta.source`` records.
        path: where the bytes are on this machine, absolute; not part of the plan's hash.
        label: class name, None when unknown.
        caption: text, None when unknown.
        split: such as ``train``, None when unknown.
        size_bytes: size of the file, -1 when it is missing.
        mtime_ns: time of its last change, nanoseconds; not part of the plan's hash.
    """

    key: str
    identity: str
    path: str
    label: str | None
    caption: str | None
    split: str | None
    size_bytes: int
    mtime_ns: int


# What the plan's hash covers: a moved or touched folder of the same videos keeps its plan.
_HASHED = ("key", "identity", "label", "caption", "split", "size_bytes")
_TEXTS = ("key", "identity", "path", "label", "caption", "split")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All sources in their final order, ``samples_per_shard`` of them to a shard (fewer in the last)."""

    sources: tuple[Source, ...]
    samples_per_shard: int

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
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted; a class index is a position in here."""
        return tuple(sorted({source.label for source in self.sources if source.label is not None}))

    @property
    def has_labels(self) -> bool:
        """Whether any source has a label; then every sample gets a ``.cls`` member."""
        return any(source.label is not None for source in self.sources)

    @property
    def has_captions(self) -> bool:
        """Whether any source has a caption; then every sample gets a ``.txt`` member."""
        return any(source.caption is not None for source in self.sources)

    @property
    def sha256(self) -> str:
        """Hash of what the samples follow from: every source but its path and time, and the shard size."""
        digest = hashlib.sha256(canonical_json({"samples_per_shard": self.samples_per_shard}))
        for source in self.sources:
            digest.update(canonical_json([getattr(source, name) for name in _HASHED]))
        return digest.hexdigest()


def build_plan(sources: Iterable[Source], *, samples_per_shard: int) -> Plan:
    """Return the plan of ``sources``, the same whatever order they are given in.

    Sources are ordered by the hash of their key, so that every shard mixes folders and classes.

    Raises:
        UsageError: no sources, a bad key, two sources with one key, or no samples to a shard.
    """
    if samples_per_shard < 1:
        raise UsageError(f"A shard cannot hold {samples_per_shard} samples: use 1 or more.")
    ordered = sorted(sources, key=lambda source: sha256(source.key.encode("utf-8", "surrogateescape")))
    if not ordered:
        raise UsageError("There are no sources: name a video, a folder that holds some, or a list of them.")
    seen: dict[str, Source] = {}
    for source in ordered:
        twin = seen.setdefault(check_key(source.key), source)
        if twin is not source:
            raise UsageError(
                f"Two sources have the key {source.key!r}, {twin.identity} and {source.identity}: "
                "give each a key of its own."
            )
    return Plan(sources=tuple(ordered), samples_per_shard=samples_per_shard)


def shard_name(index: int) -> str:
    """Return the name of a shard without extension: six digits or more."""
    return f"{index:06d}"


def write_plan(path: Path, plan: Plan) -> None:
    """Write the plan as one Parquet table, atomically; columns as in ``Source``, plus ``shard``."""
    columns: dict[str, Any] = {field.name: [] for field in fields(Source)}
    for source in plan.sources:
        for name, value in asdict(source).items():
            columns[name].append(_to_text(value) if name in _TEXTS else value)
    arrays: dict[str, Any] = {name: pa.array(columns[name], pa.string()) for name in _TEXTS}
    arrays["size_bytes"] = pa.array(columns["size_bytes"], pa.int64())
    arrays["mtime_ns"] = pa.array(columns["mtime_ns"], pa.int64())
    num_sources = len(plan.sources)
    arrays["shard"] = pa.array([i // plan.samples_per_shard for i in range(num_sources)], pa.int32())
    arrays["samples_per_shard"] = pa.array([plan.samples_per_shard] * num_sources, pa.int32())
    write_bytes(path, table_bytes(pa.table(arrays)))


def read_plan(path: Path) -> Plan:
    """Return the plan in a file.

    Raises:
        DamageError: the file is not as it was written.
        FileNotFoundError: there is none.
    """
    columns = read_table(path).to_pydict()
    samples_per_shard = columns.pop("samples_per_shard")[0]
    del columns["shard"]
    for name in _TEXTS:
        columns[name] = [_from_text(text) for text in columns[name]]
    rows = zip(*columns.values(), strict=True)
    sources = tuple(Source(**dict(zip(columns, row, strict=True))) for row in rows)
    return Plan(sources=sources, samples_per_shard=samples_per_shard)


def _to_text(text: str | None) -> str | None:
    """Return ``text`` as Parquet can hold it: a JSON string where it is not UTF-8 or looks like one."""
    if text is None:
        return None
    if text.startswith('"') or not _is_utf8(text):
        return json.dumps(text)
    return text


def _from_text(text: str | None) -> str | None:
    return json.loads(text) if text is not None and text.startswith('"') else text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
