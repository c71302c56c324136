"""Compares what other readers are given with vfm's own indexes and reports, which it follows from."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vfm.shards.format.index import Index
from vfm.shards.format.interop import column_files, samples_of, shard_files, shard_paths
from vfm.shards.format.layout import FRAMES
from vfm.shards.format.report import ShardReport
from vfm.shards.verification.finding import Finding


def check_shard_files(folder: Path, *, report: ShardReport, index: Index | None) -> Iterator[Finding]:
    """Yield which indexes for other readers are not what the shard's own index says.

    Args:
        folder: the column's folder.
        report: the shard's report.
        index: the shard's index; None when it is damaged, or there is none.
    """
    if report.index_sha256 is None:
        for path in shard_paths(folder, report.shard):
            if path.exists():
                message = "The shard has no samples, but there is an index."
                yield Finding(file=f"{folder.name}/{path.name}", message=message)
    elif index is not None:
        yield from _compare(shard_files(folder, report.shard, samples_of(index)), folder=folder)


def check_column_files(
    folder: Path, *, reports: Sequence[ShardReport], has_splits: bool
) -> Iterator[Finding]:
    """Yield which descriptions of a complete column are not what its reports say."""
    yield from _compare(column_files(folder, reports=reports, has_splits=has_splits), folder=folder)


def _compare(files: Mapping[Path, bytes], *, folder: Path) -> Iterator[Finding]:
    verb = "extract" if folder.name == FRAMES else "tokenize"
    for path, expected in files.items():
        if not path.exists():
            told = "It is missing"
        elif path.read_bytes() != expected:
            told = "It is not what vfm's index and reports say, delete it"
        else:
            continue
        message = f"{told}: run the same `vfm {verb}` command again, which rewrites it."
        yield Finding(file=path.relative_to(folder.parent).as_posix(), message=message)
