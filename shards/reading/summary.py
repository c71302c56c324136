"""What ``vfm inspect DATA`` tells: counts and sizes of a dataset, read from reports and indexes alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vfm.shards.format.index import Index, read_index
from vfm.shards.format.layout import FRAMES, index_path, shard_name
from vfm.shards.format.manifest import Column, read_manifest
from vfm.shards.format.report import ShardReport, read_report
from vfm.shards.io.json import canonical_json
from vfm.shards.splits import canonical_split


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSummary:
    """One column: how much of it is there.

    Attributes:
        name: its folder's name.
        kind: what made it.
        fields: names of the members of each sample.
        num_shards_done: of the manifest's ``num_shards``.
        num_samples: samples in them.
        size_bytes: of their tars.
        elapsed_s: seconds of work that went into them.
        options: the column's options.
    """

    name: str
    kind: str
    fields: tuple[str, ...]
    num_shards_done: int
    num_samples: int
    size_bytes: int
    elapsed_s: float
    options: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A dataset in numbers; sources are ok + partial + rejected + pending.

    Attributes:
        num_sources: in the plan.
        num_shards: of each column when it is complete.
        num_ok: samples from sound sources.
        num_partial: samples from damaged sources.
        num_rejected: sources in quarantine.
        num_pending: sources of shards that are not done.
        num_frames: of all samples.
        frames_per_sample: (least, median, most); None without samples.
        labels: samples by label, in the order of the classes.
        num_unlabelled: samples without a label.
        splits: samples by split, by its one name; those without are under the empty name.
        rejected_by_reason: sources in quarantine by reason, most first.
        columns: by name, frames first.
    """

    num_sources: int
    num_shards: int
    num_ok: int
    num_partial: int
    num_rejected: int
    num_pending: int
    num_frames: int
    frames_per_sample: tuple[int, float, int] | None
    labels: dict[str, int]
    num_unlabelled: int
    splits: dict[str, int]
    rejected_by_reason: dict[str, int]
    columns: tuple[ColumnSummary, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    def to_json(self) -> bytes:
        """Return canonical JSON."""
        return canonical_json(self.to_dict())


def summarize(data: Path) -> Summary:
    """Return the numbers of the dataset in folder ``data``, finished or not.

    Raises:
        UsageError: ``data`` is not a dataset.
        DamageError: its manifest, a report or an index is not as it was written.
    """
    manifest = read_manifest(data)
    names = sorted(manifest.columns, key=lambda name: (name != FRAMES, name))
    reports = {name: _reports(data / name, num_shards=manifest.num_shards) for name in names}
    frames = reports.get(FRAMES, [])
    indexes = list(_indexes(data / FRAMES, frames))
    counts = np.concatenate([np.zeros(0, np.int64), *(index.num_frames for index in indexes)])
    classes = np.concatenate([np.zeros(0, np.int64), *(index.class_index for index in indexes)])
    rejected = [rejection for report in frames for rejection in report.rejected]
    num_partial = sum(report.num_partial for report in frames)
    splits = Counter(canonical_split(str(split)) for index in indexes for split in index.split)
    return Summary(
        num_sources=manifest.num_sources,
        num_shards=manifest.num_shards,
        num_ok=len(counts) - num_partial,
        num_partial=num_partial,
        num_rejected=len(rejected),
        num_pending=manifest.num_sources - len(counts) - len(rejected),
        num_frames=int(counts.sum()),
        frames_per_sample=_spread(counts),
        labels={name: int((classes == number).sum()) for number, name in enumerate(manifest.classes)},
        num_unlabelled=int((classes < 0).sum()),
        splits=dict(sorted(splits.items())),
        rejected_by_reason=dict(Counter(rejection.reason for rejection in rejected).most_common()),
        columns=tuple(_column(manifest.columns[name], reports=reports[name]) for name in names),
    )


def _reports(folder: Path, *, num_shards: int) -> list[ShardReport]:
    reports = (read_report(folder, shard_name(number)) for number in range(num_shards))
    return [report for report in reports if report is not None]


def _indexes(folder: Path, reports: Iterable[ShardReport]) -> Iterable[Index]:
    for report in reports:
        if report.index_sha256 is not None:
            path = index_path(folder, report.shard)
            yield read_index(path, sha256=report.index_sha256, with_frames=False)


def _spread(counts: np.typing.NDArray[np.int64]) -> tuple[int, float, int] | None:
    if not len(counts):
        return None
    return int(counts.min()), float(np.median(counts)), int(counts.max())


def _column(column: Column, *, reports: list[ShardReport]) -> ColumnSummary:
    return ColumnSummary(
        name=column.name,
        kind=column.kind,
        fields=column.fields,
        num_shards_done=len(reports),
        num_samples=sum(report.num_samples for report in reports),
        size_bytes=sum(report.size_bytes for report in reports),
        elapsed_s=sum(report.elapsed_s for report in reports),
        options=column.options,
    )
