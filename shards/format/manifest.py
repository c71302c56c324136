"""What a dataset says about itself: the manifest, its columns, and the report of each shard."""

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vfm.shards.columns.options import check_options
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.plan import shard_name
from vfm.shards.format.sample import Rejection
from vfm.shards.io.atomic import canonical_json, sha256, write_bytes
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.shards.io.typed import coerce

FORMAT_VERSION = 1
MANIFEST_NAME = "dataset.json"
QUARANTINE_NAME = "quarantine.jsonl"
FRAMES = "frames"
_MAX_ELAPSED_S = 1e12
_READ_FIELDS = {FRAMES: ("json", "mp4"), "vq": ("codes.npy",)}  # by kind, what readers count on
_COLUMN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One folder of shards, and everything its bytes follow from.

    Attributes:
        name: its folder's name, such as ``frames`` or ``vq.demo``.
        kind: what made it: ``frames``, ``vq``, …
        fields: names of the members of each sample after the key and a dot, in order, such as
            ``("json", "mp4", "cls")`` or ``("codes.npy",)``.
        options: JSON values; every option that changes a byte, hashes of weights and the view included.
        fingerprint: ``fingerprint_of(kind, options, source)``.
        source: fingerprint of the column it was computed from; None for frames.
    """

    name: str
    kind: str
    fields: tuple[str, ...]
    options: dict[str, Any]
    fingerprint: str
    source: str | None

    def __post_init__(self) -> None:
        """Refuse a name that is no plain folder name."""
        if not is_column_name(self.name):
            raise UsageError(
                f"Column name {self.name!r} cannot name a folder: use letters, digits, dots, _ and -."
            )


def is_column_name(name: str) -> bool:
    """Return whether a column may have that name, which is a plain folder name."""
    return _COLUMN_NAME.fullmatch(name) is not None


def make_column(
    name: str, *, kind: str, fields: tuple[str, ...], options: dict[str, Any], source: str | None
) -> Column:
    """Return a column with its fingerprint."""
    fingerprint = fingerprint_of(kind, options=options, source=source)
    return Column(
        name=name, kind=kind, fields=fields, options=options, fingerprint=fingerprint, source=source
    )


def fingerprint_of(kind: str, *, options: dict[str, Any], source: str | None) -> str:
    """Return the SHA-256 of what a column's bytes follow from."""
    return sha256(canonical_json({"kind": kind, "options": options, "source": source}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """``dataset.json``: the plan's hash and the columns; written under the dataset's lock.

    Attributes:
        format_version: of the layout on disk.
        plan_sha256: ``Plan.sha256``.
        num_sources: how many sources the plan has.
        num_shards: how many shards each column has when it is complete.
        classes: labels, sorted; a class index is a position in here.
        columns: by name, complete or not.
        made_with: tool versions of the job that began the dataset.
    """

    format_version: int = FORMAT_VERSION
    plan_sha256: str
    num_sources: int
    num_shards: int
    classes: tuple[str, ...]
    columns: dict[str, Column]
    made_with: dict[str, str] = field(default_factory=dict)

    def with_column(self, column: Column) -> "Manifest":
        """Return the manifest with ``column`` added or replaced."""
        return replace(self, columns={**self.columns, column.name: column})

    def without_column(self, name: str) -> "Manifest":
        """Return the manifest without the column of that name."""
        return replace(self, columns={key: one for key, one in self.columns.items() if key != name})


def read_manifest(data: Path) -> Manifest:
    """Return the manifest of the dataset in folder ``data``.

    Raises:
        UsageError: this is no dataset, or one of a newer format.
        DamageError: ``dataset.json`` is not as it was written.
    """
    path = data / MANIFEST_NAME
    try:
        value = read_sealed(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{data} is not a vfm dataset: make one with `vfm extract VIDEOS {data}`.") from None
    version = value.get("format_version")
    if version != FORMAT_VERSION:
        raise UsageError(
            f"{data} has format {version} and this vfm reads format {FORMAT_VERSION}: "
            "use the vfm version that made it, or a newer one."
        )
    try:
        return _manifest(value)
    except (ValueError, UsageError) as error:
        raise DamageError(f"{path} is damaged ({_clause(error)}): restore it from a copy.") from error


def write_manifest(data: Path, manifest: Manifest) -> None:
    """Replace ``dataset.json`` atomically; the caller holds the lock."""
    write_sealed(data / MANIFEST_NAME, asdict(manifest))


def _manifest(value: dict[str, Any]) -> Manifest:
    """Return the manifest of JSON values; ValueError or UsageError when they cannot be one."""
    manifest: Manifest = coerce(value, Manifest, key="")
    # Readers look at every shard by number, and would do so for ages.
    if not 0 <= manifest.num_shards <= manifest.num_sources:
        raise ValueError(f"it tells of {manifest.num_shards} shards of {manifest.num_sources} sources")
    for name, column in manifest.columns.items():
        if name != column.name:
            raise ValueError(f"column {name} is called {column.name}")
        made_of = fingerprint_of(column.kind, options=column.options, source=column.source)
        if column.fingerprint != made_of:
            raise ValueError(f"the fingerprint of {name} is not that of its options")
        if not set(_READ_FIELDS.get(column.kind, ())) <= set(column.fields):
            raise ValueError(f"{name} lacks one of the fields {', '.join(_READ_FIELDS[column.kind])}")
        check_options(column.options, name=name, kind=column.kind)
    return manifest


def _clause(error: Exception) -> str:
    return str(error).rstrip(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """``000000.json``: what is in the shard of that name, and how to know that it still is.

    Attributes:
        shard: its name, such as ``000000``.
        column: its column's name.
        fingerprint: its column's fingerprint at the time.
        num_samples: samples in the tar; with 0 there is no tar and no index.
        num_partial: how many of them come from a damaged source.
        num_frames: frames of all its samples; for a target, those it was computed from.
        size_bytes: of the tar, 0 when there is none.
        sha256: of the tar, None when there is none.
        index_sha256: of the index, None when there is none.
        frames_sha256: target columns: ``sha256`` of the frames shard it was computed from.
        rejected: the shard's sources that became no sample; frames only.
        new_sizes_bytes: by key, sizes of the sources whose size was not that of the plan; frames only.
        elapsed_s: seconds it took to make.
        tools: versions of what made it.
    """

    shard: str
    column: str
    fingerprint: str
    num_samples: int
    num_frames: int
    size_bytes: int
    sha256: str | None
    index_sha256: str | None
    num_partial: int = 0
    frames_sha256: str | None = None
    rejected: tuple[Rejection, ...] = ()
    new_sizes_bytes: dict[str, int] = field(default_factory=dict)
    elapsed_s: float = 0.0
    tools: dict[str, str] = field(default_factory=dict)


def tar_path(folder: Path, shard: str) -> Path:
    """Return where the samples of a shard are."""
    return folder / f"{shard}.tar"


def index_path(folder: Path, shard: str) -> Path:
    """Return where the index of a shard is."""
    return folder / f"{shard}.index.parquet"


def report_path(folder: Path, shard: str) -> Path:
    """Return where the report of a shard is."""
    return folder / f"{shard}.json"


def read_report(folder: Path, shard: str) -> ShardReport | None:
    """Return the report of a shard in a column's folder, None when the shard is not done.

    Raises:
        DamageError: the report is not as it was written, or belongs to another shard.
    """
    path = report_path(folder, shard)
    try:
        report = _report(read_sealed(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DamageError(f"{path} is damaged ({_clause(error)}): restore it from a copy.") from error
    if (report.shard, report.column) != (shard, folder.name):
        raise DamageError(
            f"{path} is the report of {report.column}/{report.shard}: put it back where it belongs."
        )
    return report


def write_report(folder: Path, report: ShardReport) -> None:
    """Write a report atomically; tar and index must be in place, for this makes the shard done."""
    write_sealed(report_path(folder, report.shard), asdict(report))


def write_quarantine(data: Path) -> int:
    """Write ``quarantine.jsonl`` anew from the frames' reports and return how many lines it has."""
    lines = quarantine_lines(data)
    write_bytes(data / QUARANTINE_NAME, b"".join(lines))
    return len(lines)


def quarantine_lines(data: Path) -> list[bytes]:
    """Return one line of canonical JSON for each source rejected so far, in the plan's order."""
    num_shards = read_manifest(data).num_shards
    reports = (read_report(data / FRAMES, shard_name(i)) for i in range(num_shards))
    rejected = [rejection for report in reports if report is not None for rejection in report.rejected]
    return [canonical_json(rejection.to_dict()) for rejection in rejected]


def _report(value: dict[str, Any]) -> ShardReport:
    """Return the report of JSON values; ValueError when they cannot be one."""
    report: ShardReport = coerce(value, ShardReport, key="")
    counts = (report.num_samples, report.num_partial, report.num_frames, report.size_bytes)
    if not all(0 <= count < 1 << 63 for count in counts) or report.num_partial > report.num_samples:
        raise ValueError(
            "it counts samples, damaged ones, frames and bytes as {}, {}, {} and {}".format(*counts)
        )
    if any(not -1 <= size_bytes < 1 << 63 for size_bytes in report.new_sizes_bytes.values()):
        raise ValueError("a source has a size that no file has")
    if not 0 <= report.elapsed_s <= _MAX_ELAPSED_S:
        raise ValueError(f"it took {report.elapsed_s} s to make")
    is_empty = report.num_samples == 0
    if (report.sha256 is None, report.index_sha256 is None) != (is_empty, is_empty):
        raise ValueError(f"it has hashes where it has no samples, or none of its {report.num_samples}")
    return report
