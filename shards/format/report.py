"""The report of a shard: what was written, and what became of every source."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vfm.shards.errors import DamageError
from vfm.shards.format.layout import report_path
from vfm.shards.format.rejection import Rejection
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.shards.io.typed import coerce

_MAX_ELAPSED_S = 1e12


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
        raise DamageError(f"{path} is damaged ({error}): restore it from a copy.") from error
    if (report.shard, report.column) != (shard, folder.name):
        raise DamageError(
            f"{path} is the report of {report.column}/{report.shard}: put it back where it belongs."
        )
    return report


def write_report(folder: Path, report: ShardReport) -> None:
    """Write a report atomically; tar and index must be in place, for this makes the shard done."""
    write_sealed(report_path(folder, report.shard), asdict(report))


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
