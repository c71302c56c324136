"""Opens columns and proves that they belong together before a single sample is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vfm.shards.columns.commands import tokenize_command, verb_of
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.index import Index, read_index, spans_fit
from vfm.shards.format.layout import FRAMES, index_path, shard_name
from vfm.shards.format.manifest import Column, Manifest
from vfm.shards.format.report import ShardReport, read_report
from vfm.shards.reading.column import ColumnReader


def read_reports(data: Path, *, column: str, num_shards: int) -> list[ShardReport]:
    """Return the reports of a complete column, in the order of the shards.

    Raises:
        UsageError: some shards are not done; names the command that goes on with them.
    """
    reports = [read_report(data / column, shard_name(i)) for i in range(num_shards)]
    done = [report for report in reports if report is not None]
    if len(done) < num_shards:
        verb = verb_of(column)
        raise UsageError(
            f"{data} has {len(done)} of {num_shards} shards of column {column}, {verb} has not finished: "
            f"run the same `vfm {verb}` command again."
        )
    return done


def find_column(data: Path, *, manifest: Manifest, name: str) -> Column:
    """Return a column of the manifest.

    Raises:
        UsageError: there is none of that name; names the command that makes it and the columns there are.
    """
    column = manifest.columns.get(name)
    if column is None:
        there = ", ".join(sorted(manifest.columns)) or "none"
        raise UsageError(
            f"{data} has no column {name} (columns: {there}): make it with `{_command(name, data=data)}`."
        )
    return column


def resolve_names(data: Path, *, manifest: Manifest, patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a user names, each pattern such as ``vq.*`` replaced by the one it matches.

    Raises:
        UsageError: several match, or none; or a text is given in place of a list.
    """
    if isinstance(patterns, str):
        raise UsageError(f"columns is the text {patterns!r}: write a list, columns=[{patterns!r}].")
    names: dict[str, None] = {}
    for pattern in patterns:
        found = manifest.matching(pattern)
        if len(found) > 1:
            raise UsageError(f"Columns {', '.join(found)} of {data} all match {pattern!r}: name one of them.")
        names[found[0] if found else find_column(data, manifest=manifest, name=pattern).name] = None
    return tuple(names)


def open_columns(data: Path, *, manifest: Manifest, names: tuple[str, ...]) -> dict[str, ColumnReader]:
    """Return readers of the named columns and of ``frames``, all with the same samples in the same order.

    The spans of the frames' JPEGs are loaded only when ``frames`` is named.

    Raises:
        UsageError: a column is missing, not finished, or was made from other frames or options.
        DamageError: a report or an index is not as it was written.
    """
    frames = _load(data, manifest=manifest, name=FRAMES, with_frames=FRAMES in names)
    readers = {FRAMES: frames.reader()}
    for name in names:
        if name != FRAMES:
            other = _load(data, manifest=manifest, name=name, with_frames=False)
            _check_pair(data, frames=frames, other=other)
            readers[name] = other.reader()
    return readers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A column with its reports and indexes; an index is None where a shard has no samples."""

    folder: Path
    column: Column
    reports: list[ShardReport]
    indexes: list[Index | None]

    def reader(self) -> ColumnReader:
        indexes = [index for index in self.indexes if index is not None]
        return ColumnReader(self.folder, reports=self.reports, indexes=indexes)


def _load(data: Path, *, manifest: Manifest, name: str, with_frames: bool) -> _Loaded:
    column = find_column(data, manifest=manifest, name=name)
    reports = read_reports(data, column=name, num_shards=manifest.num_shards)
    for report in reports:
        if report.fingerprint != column.fingerprint:
            raise UsageError(
                f"{data / name / report.shard} was made with options {_short(report.fingerprint)} and the "
                f"dataset's are {_short(column.fingerprint)}: {_redo(data, column)}."
            )
    indexes = [
        _index(data / name, column=column, report=report, manifest=manifest, with_frames=with_frames)
        for report in reports
    ]
    return _Loaded(folder=data / name, column=column, reports=reports, indexes=indexes)


def _index(
    folder: Path, *, column: Column, report: ShardReport, manifest: Manifest, with_frames: bool
) -> Index | None:
    if report.index_sha256 is None:
        return None
    path = index_path(folder, report.shard)
    index = read_index(path, sha256=report.index_sha256, with_frames=with_frames)
    if index.fields != column.fields or len(index) != report.num_samples:
        raise DamageError(
            f"{path} has {len(index)} samples of {', '.join(index.fields)} where report and manifest say "
            f"{report.num_samples} of {', '.join(column.fields)}: run `vfm inspect {folder.parent} --verify`."
        )
    fault = misfit(index, size_bytes=report.size_bytes, num_classes=len(manifest.classes))
    if fault is None and with_frames and column.name == FRAMES and not has_all_frames(index):
        fault = "has other counts of frames than places of them"
    if fault is not None:
        raise DamageError(f"{path} {fault}: run `vfm inspect {folder.parent} --verify`.")
    return index


def misfit(index: Index, *, size_bytes: int, num_classes: int) -> str | None:
    """Return in a clause what of an index fits neither its tar's size nor the classes; None when all fits."""
    if not spans_fit(index, size_bytes=size_bytes):
        return f"names places outside its tar of {size_bytes} bytes"
    if (index.class_index >= num_classes).any():
        return f"names class {index.class_index.max()}, and the manifest has {num_classes} classes"
    return None


def has_all_frames(index: Index) -> bool:
    """Return whether the index has the place of every frame that it counts."""
    return np.array_equal(np.diff(index.frame_splits), index.num_frames)


def _check_pair(data: Path, *, frames: _Loaded, other: _Loaded) -> None:
    """Refuse a target column that was computed from other frames than those in the dataset."""
    name = other.column.name
    if other.column.source != frames.column.fingerprint:
        raise UsageError(
            f"Column {name} was computed from frames {_short(other.column.source)} and the dataset's frames "
            f"are {_short(frames.column.fingerprint)}: {_redo(data, other.column)}."
        )
    for number, (mine, theirs) in enumerate(zip(frames.reports, other.reports, strict=True)):
        if theirs.frames_sha256 != mine.sha256:
            raise UsageError(
                f"{data / name / theirs.shard} was computed from frames {_short(theirs.frames_sha256)} and "
                f"{data / FRAMES / mine.shard} is {_short(mine.sha256)}: {_redo(data, other.column)}."
            )
        if not _same_keys(frames.indexes[number], other.indexes[number]):
            raise UsageError(
                f"{data / name / theirs.shard} and {data / FRAMES / mine.shard} hold different samples: "
                f"{_redo(data, other.column)}."
            )


def _same_keys(one: Index | None, other: Index | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one.keys, other.keys)


def _short(fingerprint: str | None) -> str:
    return "none" if fingerprint is None else fingerprint[:12]


def _redo(data: Path, column: Column) -> str:
    name = column.name
    remove = f"delete {data / name}" if name == FRAMES else f"run `vfm drop {data} {name}`"
    views = column.options.get("views", [])
    return f"{remove} and run `{_command(name, data=data, crop_px=views[0]['crop_px'] if views else None)}`"


def _command(name: str, *, data: Path, crop_px: int | None = None) -> str:
    if name == FRAMES:
        return f"vfm extract VIDEOS {data}"
    return tokenize_command(name, data=data, crop_px=crop_px)
