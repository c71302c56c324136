"""What a dataset says about itself: the manifest, its columns, and the report of each shard."""

import re
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vfm.shards.columns.options import check_options
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.layout import FRAMES, MANIFEST_NAME
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import canonical_json
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.shards.io.typed import coerce

FORMAT_VERSION = 1

_READ_FIELDS = {
    FRAMES: ("json", "mp4"),
    "vq": ("codes.npy",),
    "clip": ("attention.npy",),
}  # by kind, what readers count on
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
        fidelity: how true its values are to those computed before they were stored, as measured; JSON
            values, of which no byte follows. None where nobody measured.
    """

    name: str
    kind: str
    fields: tuple[str, ...]
    options: dict[str, Any]
    fingerprint: str
    source: str | None
    fidelity: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse a name that is not a plain folder name."""
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


def check_column(column: Column) -> None:
    """Refuse a column whose parts contradict each other, as no job writes it.

    Raises:
        ValueError: fingerprint, fields or options are not of its kind; a clause.
    """
    made_of = fingerprint_of(column.kind, options=column.options, source=column.source)
    if column.fingerprint != made_of:
        raise ValueError(f"the fingerprint of {column.name} is not that of its options")
    if not set(_READ_FIELDS.get(column.kind, ())) <= set(column.fields):
        raise ValueError(f"{column.name} lacks one of the fields {', '.join(_READ_FIELDS[column.kind])}")
    check_options(column.options, name=column.name, kind=column.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """``dataset.json``: the plan's hash and the columns; written under the dataset's lock.

    Attributes:
        format_version: of the layout on disk.
        plan_sha256: ``Plan.sha256``.
        num_sources: how many sources the plan has.
        num_shards: how many shards each column has when it is complete.
        classes: `Plan.classes`; a class index is a position in here.
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

    @property
    def holds_images(self) -> bool:
        """Whether samples are pictures, each of one frame, and not videos."""
        return bool(self.columns[FRAMES].options.get("images", False))

    def matching(self, pattern: str) -> list[str]:
        """Return the column of that very name or, where there is none, those whose names match a pattern."""
        if pattern in self.columns:
            return [pattern]
        return sorted(name for name in self.columns if fnmatchcase(name, pattern))

    def with_column(self, column: Column) -> "Manifest":
        """Return the manifest with ``column`` added or replaced."""
        return replace(self, columns={**self.columns, column.name: column})

    def without_column(self, name: str) -> "Manifest":
        """Return the manifest without the column of that name."""
        return replace(self, columns={key: one for key, one in self.columns.items() if key != name})


def read_manifest(data: Path) -> Manifest:
    """Return the manifest of the dataset in folder ``data``.

    Raises:
        UsageError: this is not a dataset, or one of a newer format.
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
    values = asdict(manifest)
    for column in values["columns"].values():
        if column["fidelity"] is None:
            del column["fidelity"]
    write_sealed(data / MANIFEST_NAME, values)


def _manifest(value: dict[str, Any]) -> Manifest:
    """Return the manifest of JSON values; ValueError or UsageError when they cannot be one."""
    manifest: Manifest = coerce(value, Manifest, key="")
    # Readers look at every shard by number, and would do so for ages.
    if not 0 <= manifest.num_shards <= manifest.num_sources:
        raise ValueError(f"it tells of {manifest.num_shards} shards of {manifest.num_sources} sources")
    for name, column in manifest.columns.items():
        if name != column.name:
            raise ValueError(f"column {name} is called {column.name}")
        check_column(column)
    return manifest


def _clause(error: Exception) -> str:
    return str(error).rstrip(".")
