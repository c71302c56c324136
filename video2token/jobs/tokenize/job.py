"""Fills the shards of one target column that are missing."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

import numpy as np

from vfm import __version__
from vfm.shards.errors import MachineError
from vfm.shards.format.index import IndexRow
from vfm.shards.format.interop import finish_column
from vfm.shards.format.layout import FRAMES, PLAN_NAME, index_path, shard_name, tar_path
from vfm.shards.format.manifest import read_manifest, write_manifest
from vfm.shards.format.plan import PlanMissingError, read_plan
from vfm.shards.format.report import ShardReport, read_report
from vfm.shards.io.atomic import clean_stale
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.npy import to_npy
from vfm.shards.progress import Progress
from vfm.shards.reading.dataset import Dataset
from vfm.shards.reading.join import read_reports
from vfm.shards.writing.writer import ShardWriter
from vfm.video2token.execution.executors.processes import ProcessExecutor
from vfm.video2token.jobs.enlargement import accepted, find_enlargement
from vfm.video2token.jobs.tokenize.compatibility import check_same_column, target_column
from vfm.video2token.jobs.tokenize.target_task import Members, arrays_in, compute_members
from vfm.video2token.target import Arrays, Target, TargetOptions

_HANDLER = "vfm.video2token.jobs.tokenize.target_task:compute_part"
_TASK_LIMIT_S = 3600.0
_MEMORY_BYTES = 64 << 30  # address space, of which torch takes much more than it uses


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnResult:
    """What is in a target column now, finished before or in this run.

    Attributes:
        column: its name.
        num_samples: in the column.
        num_frames: they were computed from.
        num_frames_now: how many of them in this run.
        num_shards: of the column.
        num_shards_before: how many of them were done before this run.
        size_bytes: of the tars.
        elapsed_s: wall time of this run.
    """

    column: str
    num_samples: int
    num_frames: int
    num_frames_now: int
    num_shards: int
    num_shards_before: int
    size_bytes: int
    elapsed_s: float


class ColumnJob:
    """One run over the shards of one column that are not done."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        spec: str,
        target: Target,
        options: TargetOptions,
        accept_data: bool,
        progress: Progress,
    ) -> None:
        self._dataset = dataset
        self._target = target
        kept, note = accepted(find_enlargement(target, dataset), accept=accept_data)
        there = dataset.manifest.columns.get(target.name)
        target.fit(dataset, dataset.data / target.name, there=there, progress=progress)
        self._notes = [sentence for sentence in (note, target.note) if sentence]
        self._column = target_column(target, dataset.manifest, kept=kept)
        self._folder = dataset.data / target.name
        self._task = {
            "data": str(dataset.data),
            "spec": spec,
            "options": asdict(options),
            "expected": target.options,
        }
        self._device = options.device
        self._progress = progress
        self._frames = read_reports(dataset.data, column=FRAMES, num_shards=dataset.manifest.num_shards)
        check_same_column(self._folder, self._column, manifest=dataset.manifest, frames=self._frames)
        target.check(dataset)  # of all targets, before the first is computed
        self._has_splits = _has_splits(dataset)
        self._starts = [0, *np.cumsum([report.num_samples for report in self._frames]).tolist()]

    def run(self, *, num_workers: int) -> ColumnResult:
        """Make the missing shards."""
        progress = self._progress
        begun_s = time.monotonic()
        self._prepare()
        done = {i: report for i in range(len(self._frames)) if (report := self._done(i))}
        pending = [i for i in range(len(self._frames)) if i not in done]
        num_before = len(done)
        progress.start(len(self._dataset), "samples")
        try:
            for note in self._notes:
                progress.advance(note=note)
            for report in done.values():
                progress.advance(ok=report.num_samples, num_frames=report.num_frames)
            if pending:
                done |= self._make(pending, num_workers=num_workers, progress=progress)
            for remark in self._target.remarks(self._dataset.data):
                progress.advance(note=remark)
        finally:
            progress.finish()
        with disk_faults(self._dataset.data):
            reports = [done[i] for i in range(len(done))]
            finish_column(self._folder, reports=reports, has_splits=self._has_splits)
        return ColumnResult(
            column=self._target.name,
            num_samples=sum(report.num_samples for report in done.values()),
            num_frames=sum(report.num_frames for report in done.values()),
            num_frames_now=sum(done[i].num_frames for i in pending),
            num_shards=len(done),
            num_shards_before=num_before,
            size_bytes=sum(report.size_bytes for report in done.values()),
            elapsed_s=round(time.monotonic() - begun_s, 3),
        )

    def _prepare(self) -> None:
        data = self._dataset.data
        with disk_faults(data):
            self._folder.mkdir(exist_ok=True)
            clean_stale(data)
            clean_stale(self._folder)
            self._target.save_beside(self._folder)
            # Read again: an earlier target of this command has added its column.
            manifest = read_manifest(data)
            if manifest.columns.get(self._target.name) != self._column:
                write_manifest(data, manifest.with_column(self._column))

    def _done(self, number: int) -> ShardReport | None:
        """Return the report of a shard that is done and whose tar and index are there."""
        report = read_report(self._folder, shard_name(number))
        if report is None or report.fingerprint != self._column.fingerprint:
            return None
        if report.num_samples == 0:
            return report
        tar = tar_path(self._folder, report.shard)
        is_there = tar.exists() and tar.stat().st_size == report.size_bytes
        return report if is_there and index_path(self._folder, report.shard).exists() else None

    def _make(
        self, pending: Sequence[int], *, num_workers: int, progress: Progress
    ) -> dict[int, ShardReport]:
        members = self._members(pending, num_workers=num_workers)
        # Closed by hand: an error here must end the workers now, not when the garbage is collected.
        with closing(members):
            return {i: self._shard(i, members, progress=progress) for i in pending}

    def _shard(self, number: int, members: Iterator[Members], *, progress: Progress) -> ShardReport:
        """Fill and commit one shard; an exception on the way leaves nothing of it."""
        begun_s = time.monotonic()
        dataset, fields = self._dataset, self._target.fields
        with disk_faults(dataset.data), ShardWriter(self._folder, shard_name(number)) as writer:
            for index in self._indices(number):
                row = IndexRow(
                    num_frames=int(dataset.num_frames[index]),
                    class_index=int(dataset.class_indices[index]),
                    split=str(dataset.splits[index]),
                )
                payloads = dict(zip(fields, next(members), strict=True))
                writer.add(dataset.keys[index], payloads, row=row)
                progress.advance(ok=1, num_frames=row.num_frames)
            return writer.commit(
                column=self._target.name,
                fingerprint=self._column.fingerprint,
                frames_sha256=self._frames[number].sha256,
                elapsed_s=round(time.monotonic() - begun_s, 3),
                tools={"vfm": __version__, **self._target.tools(), "device": self._device},
            )

    def _indices(self, number: int) -> range:
        return range(self._starts[number], self._starts[number + 1])

    def _members(self, pending: Sequence[int], *, num_workers: int) -> Generator[Members, None, None]:
        """Yield the members of all samples of these shards, in order."""
        dataset, target = self._dataset, self._target
        shards = [self._indices(number) for number in pending]
        num_frames = sum(int(dataset.num_frames[list(indices)].sum()) for indices in shards)
        num_workers = min(num_workers, -(-num_frames // target.frames_per_worker))
        if num_workers <= 1 or self._device != "cpu":
            for indices in shards:
                yield from compute_members(dataset, target, indices)
            return
        with closing(self._computed(shards, num_workers=num_workers)) as computed:
            for indices in shards:
                for arrays in target.assembled(dataset, indices, computed):
                    yield [to_npy(arrays[field]) for field in target.fields]

    def _computed(
        self, shards: Sequence[Sequence[int]], *, num_workers: int
    ) -> Generator[Arrays, None, None]:
        """Yield what the parts of these shards compute, in order, in processes."""
        parts = (part for indices in shards for part in self._target.parts(self._dataset, indices))
        with ProcessExecutor(
            _HANDLER, num_workers=num_workers, timeout_s=_TASK_LIMIT_S, memory_bytes=_MEMORY_BYTES
        ) as pool:
            for reply in pool.run({**self._task, "part": part} for part in parts):
                if reply.failure is not None:
                    raise MachineError(
                        f"A process that computes {self._target.name} was lost ({reply.message}) "
                        "Run the same command again, with fewer --workers when memory is short."
                    )
                yield from arrays_in(reply.head, reply.body, fields=self._target.fields)


def _has_splits(dataset: Dataset) -> bool:
    """Return whether any source has a split, rejected ones included while the plan is there to tell."""
    try:
        return read_plan(dataset.data / PLAN_NAME).has_splits
    except PlanMissingError:
        return bool((dataset.splits != "").any())
