"""``vfm tokenize``: adds a column of targets to a dataset, shard by shard beside its frames."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.io.lock import hold
from vfm.shards.progress import NoProgress, Progress
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.video2token.jobs.tokenize.job import ColumnJob, ColumnResult
from vfm.video2token.target import Target, TargetOptions
from vfm.video2token.targets import build_target


def tokenize(
    data: Path,
    specs: Sequence[str],
    options: TargetOptions,
    *,
    num_workers: int = 1,
    accept_data: bool = False,
    progress: Progress | None = None,
) -> list[ColumnResult]:
    """Add the columns that ``specs`` name to the dataset ``data``, going on where an earlier run ended.

    No other column is touched. On a CPU the tars and indexes are the same bytes for any number of workers
    and any batch size, and however often the job was killed and run again.

    Args:
        data: a dataset whose frames are complete.
        specs: targets, ``kind:argument`` each, one after the other.
        options: what every target is told.
        num_workers: computing processes, on a CPU; small datasets take fewer.
        accept_data: go on, aloud, with frames that a target enlarges; its column tells how far.
        progress: receives progress updates.

    Raises:
        UsageError: no dataset, frames not complete, no such target, the dataset has not what a target is
            computed from, its frames would be enlarged, or the column holds something else.
        DamageError: a frame or a codebook is not as it was written.
        MachineError: the disk is full or read-only, another job writes there, a process was lost.
    """
    if options.name is not None and len(specs) > 1:
        raise UsageError(f"{len(specs)} columns cannot all be called {options.name!r}: name one at a time.")
    targets = [build_target(spec, options) for spec in specs]
    _refuse_twins(targets)
    with holding(data) as dataset:
        jobs = [
            ColumnJob(
                dataset,
                spec=spec,
                target=target,
                options=options,
                accept_data=accept_data,
                progress=progress or NoProgress(),
            )
            for spec, target in zip(specs, targets, strict=True)
        ]
        return [job.run(num_workers=num_workers) for job in jobs]


@contextmanager
def holding(data: Path) -> Iterator[Dataset]:
    """Open the frames of a dataset that nobody else writes to meanwhile."""
    read_manifest(data)  # a folder that is not a dataset gets no lock either
    with hold(data):
        yield open_dataset(data)


def _refuse_twins(targets: Sequence[Target]) -> None:
    seen = Counter(target.name for target in targets)
    for name, count in seen.items():
        if count > 1:
            raise UsageError(f"{count} targets would all be column {name}: give each its own run and --name.")
