"""Fills the shards that are missing, in the plan's order."""

import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vfm.shards.format.index import IndexRow
from vfm.shards.format.layout import FRAMES, PLAN_NAME, shard_name
from vfm.shards.format.manifest import Column
from vfm.shards.format.plan import Plan, Source, read_times
from vfm.shards.format.quarantine import write_quarantine
from vfm.shards.format.rejection import Rejection
from vfm.shards.format.report import ShardReport, read_report
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.spool import Payload
from vfm.shards.progress import Progress
from vfm.shards.wording import counted
from vfm.shards.writing.writer import ShardWriter
from vfm.video2token.analysis.duplicates import Duplicates
from vfm.video2token.analysis.options import SignalOptions
from vfm.video2token.execution.executor import Reply
from vfm.video2token.execution.executors.processes import ProcessExecutor
from vfm.video2token.jobs.extract.retry import PreviousShard
from vfm.video2token.jobs.extract.video_task import task_of
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import REQUESTED, RejectReason, Retry, is_retried

_HANDLER = "vfm.video2token.jobs.extract.video_task:extract_one"
_MANY_IN_A_ROW = 20
_QUARANTINE_PAUSE = 20  # times as long as it took to write, so that it costs a twentieth of the job at most


class ExtractJob:
    """One run over the shards that are not done."""

    def __init__(  # noqa: PLR0913 (what the job is)
        self,
        data: Path,
        *,
        plan: Plan,
        column: Column,
        options: ExtractOptions,
        tools: dict[str, str],
        signals: SignalOptions | None = None,
    ) -> None:
        self._data = data
        self._plan = plan
        self._fingerprint = column.fingerprint
        self._options = options
        self._tools = tools
        self._signals = signals or SignalOptions()
        self._duplicates: Duplicates | None = None
        # Of the whole plan: asked for every sample these would take the square of the number of sources.
        self._classes = {label: index for index, label in enumerate(plan.classes)}
        self._has_labels, self._has_captions = plan.has_labels, plan.has_captions
        self._num_in_a_row = 0
        self._now = {source.key: source for source in plan.sources}
        self._retry: Retry = "none"
        self._quarantine_due_s = 0.0
        self.num_before = 0

    def take(self, sources: Sequence[Source], *, retry: Retry) -> None:
        """Take the sources as they are now, which the plan may have known with other sizes."""
        self._now = {source.key: source for source in sources}
        self._retry = retry

    def run(self, *, num_workers: int, progress: Progress) -> list[ShardReport]:
        """Make the missing shards and return the reports of all, in order."""
        names = [shard_name(index) for index in range(self._plan.num_shards)]
        found = [read_report(self._data / FRAMES, name) for name in names]
        # A report of another column, copied in by hand, does not make the shard done.
        done = {
            i: report for i, report in enumerate(found) if report and report.fingerprint == self._fingerprint
        }
        retried = {i: kept for i, report in done.items() if (kept := self._kept(report))}
        pending = [index for index in range(len(names)) if index not in done or index in retried]
        self.num_before = len(done) - len(retried)
        if (max_bits := self._signals.drop_duplicates) is not None:
            finished = {i: report for i, report in done.items() if i not in retried}
            self._duplicates = Duplicates(self._data / FRAMES, finished=finished, max_bits=max_bits)
        progress.start(len(self._plan.sources), "images" if self._options.images else "videos")
        try:
            before = [report for index, report in done.items() if index not in retried]
            self._tell_before(before, progress=progress)
            self._tell_touched(done, progress=progress)
            if pending:
                made = self._make(pending, retried=retried, num_workers=num_workers, progress=progress)
                done |= dict(made)
        finally:
            progress.finish()
        return [done[index] for index in range(self._plan.num_shards)]

    def _kept(self, report: ShardReport) -> PreviousShard | None:
        """Return what is kept of a shard with sources to try again, None for a shard without."""
        if not any(is_retried(each, retry=self._retry) for each in report.rejected):
            return None
        return PreviousShard(self._data / FRAMES, report=report, retry=self._retry)

    def _make(
        self,
        pending: Sequence[int],
        *,
        retried: Mapping[int, PreviousShard],
        num_workers: int,
        progress: Progress,
    ) -> Iterator[tuple[int, ShardReport]]:
        keys = [
            source.key
            for index in pending
            for source in self._plan.shard(index)
            if index not in retried or retried[index].is_retried(source.key)
        ]
        options = replace(self._options, num_threads=max(1, num_workers // len(keys)))
        with ProcessExecutor(
            _HANDLER,
            num_workers=min(num_workers, len(keys)),
            timeout_s=self._options.timeout_s,
            memory_bytes=self._options.memory_bytes,
        ) as pool:
            replies = pool.run(task_of(self._now[key], options, signals=self._signals) for key in keys)
            for index in pending:
                if self._duplicates:
                    self._duplicates.read_before(index)
                kept = retried.get(index)
                yield index, self._shard(index, kept=kept, replies=replies, progress=progress)

    def _shard(
        self, index: int, *, kept: PreviousShard | None, replies: Iterator[Reply], progress: Progress
    ) -> ShardReport:
        """Fill and commit one shard; an exception on the way leaves nothing of it."""
        begun_s = time.monotonic()
        rejected: list[Rejection] = []
        num_partial = 0
        sources = self._plan.shard(index)
        with disk_faults(self._data), ShardWriter(self._data / FRAMES, shard_name(index)) as writer:
            for source in sources:
                end = self._end(writer, source, kept=kept, replies=replies)
                if isinstance(end, Rejection):
                    rejected.append(end)
                    is_new = kept is None or kept.is_retried(source.key)
                    progress.advance(rejected=1, note=self._count_in_a_row(end) if is_new else "")
                    continue
                self._num_in_a_row = 0
                is_partial = end.outcome == "partial"
                num_partial += is_partial
                progress.advance(ok=not is_partial, partial=is_partial, num_frames=end.num_frames)
            if kept is not None and tuple(rejected) == kept.report.rejected:
                return kept.report
            report = writer.commit(
                column=FRAMES,
                fingerprint=self._fingerprint,
                num_partial=num_partial,
                rejected=tuple(rejected),
                new_sizes_bytes=self._new_sizes(sources),
                elapsed_s=round(time.monotonic() - begun_s, 3),
                tools=self._tools if kept is None else kept.tools(self._tools),
            )
        if rejected:
            self._update_quarantine()
        return report

    def _end(
        self, writer: ShardWriter, source: Source, *, kept: PreviousShard | None, replies: Iterator[Reply]
    ) -> SampleMeta | Rejection:
        """Return what becomes of a source, after it was added to the shard if it becomes a sample."""
        if kept is None or kept.is_retried(source.key):
            reply = next(replies)
            return self._rejection(source, reply) or self._add(writer, source, reply)
        if rejection := kept.rejected.get(source.key):
            return rejection
        sample = kept.sample(source.key)
        writer.add(source.key, sample.members, row=sample.row)
        if self._duplicates:
            self._duplicates.add(sample.meta)
        return sample.meta

    def _new_sizes(self, sources: Sequence[Source]) -> dict[str, int]:
        now = {source.key: self._now[source.key].size_bytes for source in sources}
        return {source.key: now[source.key] for source in sources if now[source.key] != source.size_bytes}

    def _update_quarantine(self) -> None:
        """Write it now and then: it comes from all reports, which takes the longer the more there are."""
        begun_s = time.monotonic()
        if begun_s < self._quarantine_due_s:
            return
        with disk_faults(self._data):
            write_quarantine(self._data)
        now_s = time.monotonic()
        self._quarantine_due_s = now_s + _QUARANTINE_PAUSE * (now_s - begun_s)

    def _add(self, writer: ShardWriter, source: Source, reply: Reply) -> SampleMeta:
        meta = SampleMeta.from_json(reply.head["meta"].encode())
        class_index = self._classes.get(source.label, -1) if source.label is not None else -1
        members: dict[str, Payload] = {"json": meta.to_json(), "mp4": reply.body}
        if self._has_labels:
            members["cls"] = str(class_index).encode()
        if self._has_captions:
            members["txt"] = next(iter(source.captions), "").encode()
        row = IndexRow(
            num_frames=meta.num_frames,
            class_index=class_index,
            split=source.split or "",
            frame_offsets=reply.head["offsets"],
            frame_sizes=reply.head["sizes"],
        )
        writer.add(source.key, members, row=row)
        if self._duplicates:
            self._duplicates.add(meta)
        return meta

    def _rejection(self, source: Source, reply: Reply) -> Rejection | None:
        """Return why there is no sample, None when there is one."""
        if reply.failure is None and "meta" in reply.head:
            return self._duplicate(source, reply)
        head = reply.head or {}
        reason = RejectReason(reply.failure or head["reason"])
        return Rejection(
            key=source.key,
            source=source.identity,
            reason=reason,
            message=reply.message or head["message"],
            tool="signals" if reason in REQUESTED else self._options.decoder,
        )

    def _duplicate(self, source: Source, reply: Reply) -> Rejection | None:
        """Return the rejection of a video that looks like a sample before it, where that was asked for."""
        if self._duplicates is None:
            return None
        twin = self._duplicates.find(SampleMeta.from_json(reply.head["meta"].encode()))
        if twin is None:
            return None
        return Rejection(
            key=source.key,
            source=source.identity,
            reason=RejectReason.DUPLICATE,
            message=f"It looks like {twin} (--drop-duplicates {self._signals.drop_duplicates}).",
            tool="signals",
        )

    def _count_in_a_row(self, rejection: Rejection) -> str:
        """Return a warning when so many in a row are rejected that something else must be wrong."""
        if rejection.reason in REQUESTED:
            return ""
        self._num_in_a_row += 1
        times, rest = divmod(self._num_in_a_row, _MANY_IN_A_ROW)
        if rest or times & (times - 1):  # at 20, 40, 80, 160, …
            return ""
        return (
            f"{self._num_in_a_row} videos in a row were rejected, the last with {rejection.reason} "
            f"({rejection.message}): the cause may not be the videos, check before it runs on."
        )

    def _tell_before(self, reports: Sequence[ShardReport], *, progress: Progress) -> None:
        """Count what earlier runs have done, and say so when they did it with other tools."""
        for report in reports:
            num_ok = report.num_samples - report.num_partial
            num_rejected = len(report.rejected)
            progress.advance(
                ok=num_ok, partial=report.num_partial, rejected=num_rejected, num_frames=report.num_frames
            )
        if other := next((report.tools for report in reports if report.tools != self._tools), None):
            progress.advance(
                note=f"Earlier shards were made with {_listed(other)}, this run uses {_listed(self._tools)}."
            )

    def _tell_touched(self, done: Container[int], *, progress: Progress) -> None:
        """Say so when videos of finished shards were changed since; a change of size was refused before."""
        shards = [index // self._plan.samples_per_shard for index in range(len(self._plan.sources))]
        times = read_times(self._data / PLAN_NAME, num_sources=len(self._plan.sources))
        touched = [
            source.identity
            for source, shard, mtime_ns in zip(self._plan.sources, shards, times, strict=True)
            if shard in done and mtime_ns != source.mtime_ns
        ]
        if touched:
            progress.advance(
                note=f"{counted(len(touched), 'video')} changed after their shards were finished, at "
                f"the same size, the first {touched[0]}. Their samples still show the old contents: if that "
                "matters, choose another output."
            )


def _listed(tools: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(tools.items()))
