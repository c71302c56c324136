"""``vfm extract``: videos to the frames column of a dataset, in processes that may die, in one order."""

import contextlib
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vfm.shards.errors import MachineError
from vfm.shards.format.index import IndexRow
from vfm.shards.format.interop import finish_column
from vfm.shards.format.manifest import FRAMES, Column, ShardReport, make_column, read_report, write_quarantine
from vfm.shards.format.plan import PLAN_NAME, Plan, Source, build_plan, read_times, shard_name
from vfm.shards.format.sample import Rejection, SampleMeta
from vfm.shards.format.shots import CUT_OPTION
from vfm.shards.io.lock import hold
from vfm.shards.io.spool import Payload
from vfm.shards.progress import Progress, Silence
from vfm.shards.wording import counted
from vfm.shards.writing.writer import ShardWriter
from vfm.video2token.analysis.duplicates import Duplicates
from vfm.video2token.analysis.measure import DROPPED, SignalOptions
from vfm.video2token.decoding.decoder import ExtractOptions
from vfm.video2token.execution.executors.processes import Pool, Reply
from vfm.video2token.jobs.extract import folder
from vfm.video2token.jobs.extract.retry import KeptShard, Retry, is_retried
from vfm.video2token.jobs.extract.split_shots import MIN_SHOT_S, CutSearchOptions, split_scenes
from vfm.video2token.jobs.extract.video_task import task_of, tool_versions
from vfm.video2token.sources.listing import list_sources

SAMPLES_PER_SHARD = 256
_HANDLER = "vfm.video2token.jobs.extract.video_task:extract_one"
_MANY_IN_A_ROW = 20
_QUARANTINE_PAUSE = 20  # times as long as it took to write, so that it costs a twentieth of the job at most


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractResult:
    """What is in the frames column now, finished before or in this run.

    Attributes:
        num_sources: ``num_ok + num_partial + num_rejected``.
        num_ok: samples from sound videos.
        num_partial: samples from damaged videos.
        num_rejected: videos in quarantine.
        rejected_by_reason: the same by reason, most first.
        num_frames: of all samples.
        num_shards: of the column.
        num_shards_before: how many of them were done before this run.
        size_bytes: of the tars.
        elapsed_s: wall time of this run.
    """

    num_sources: int
    num_ok: int
    num_partial: int
    num_rejected: int
    rejected_by_reason: dict[str, int]
    num_frames: int
    num_shards: int
    num_shards_before: int
    size_bytes: int
    elapsed_s: float


def extract(
    inputs: Sequence[Path],
    data: Path,
    options: ExtractOptions,
    *,
    samples_per_shard: int = SAMPLES_PER_SHARD,
    num_workers: int = 1,
    progress: Progress | None = None,
) -> ExtractResult:
    """Extract the frames of all videos behind ``inputs``; every file that a list names must exist.

    Raises: as ``list_sources`` and ``extract_sources``.
    """
    return extract_sources(
        list_sources(inputs, missing="error"),
        data,
        options,
        samples_per_shard=samples_per_shard,
        num_workers=num_workers,
        progress=progress,
    )


def extract_sources(  # noqa: PLR0913 (what is made, and the choices of the user)
    sources: Sequence[Source],
    data: Path,
    options: ExtractOptions,
    *,
    samples_per_shard: int = SAMPLES_PER_SHARD,
    num_workers: int = 1,
    retry: Retry = "none",
    signals: SignalOptions | None = None,
    is_split_at_cuts: bool = False,
    progress: Progress | None = None,
) -> ExtractResult:
    """Extract the frames of ``sources`` into the dataset ``data``, going on where an earlier run ended.

    Every source ends in exactly one shard or in ``quarantine.jsonl``. The tars and indexes are the same
    bytes for any number of workers, and however often the job was killed and run again.

    Args:
        sources: any order; the plan has an order of its own.
        data: folder of the dataset; made when it does not exist.
        options: how frames are taken, and what one video may cost.
        samples_per_shard: at most; what a killed job loses is the shard in hand.
        num_workers: decoding processes.
        retry: which sources that an earlier run rejected are tried again; their shards are made anew with
            the samples they hold, and stay as they are when nothing comes of it.
        signals: what is measured beside the frames, and which videos are left out by it.
        is_split_at_cuts: make a sample of each shot of a video; the cuts are looked for first.
        progress: hears how it comes along.

    Raises:
        UsageError: ``data`` holds another plan, other options, or something else.
        MachineError: the disk is full or read-only, another job writes there, workers do not start.
    """
    begun_s = time.monotonic()
    asked = build_plan(sources, samples_per_shard=samples_per_shard)
    folder.make_folder(data)
    with hold(data):
        if is_split_at_cuts:
            search = CutSearchOptions(
                num_workers=num_workers, timeout_s=options.timeout_s, memory_bytes=options.memory_bytes
            )
            shots = split_scenes(asked.sources, data, search, progress=progress or Silence())
            asked = build_plan(shots, samples_per_shard=samples_per_shard)
        plan = folder.agreed_plan(data, asked, retry=retry)
        column = frames_column(plan, options, signals=signals, is_split_at_cuts=is_split_at_cuts)
        tools = tool_versions(options.decoder)
        folder.prepare(data, plan, column, made_with=tools)
        job = _Job(data, plan=plan, column=column, options=options, tools=tools, signals=signals)
        job.take(asked.sources, retry=retry)
        try:
            reports = job.run(num_workers=num_workers, progress=progress or Silence())
        except BaseException:
            with contextlib.suppress(MachineError), folder.writing(data):
                write_quarantine(data)  # of what is done; how the job ended is what matters now
            raise
        with folder.writing(data):
            write_quarantine(data)
            finish_column(data / FRAMES, reports=reports, has_splits=plan.has_splits)
    return _result(reports, num_before=job.num_before, elapsed_s=time.monotonic() - begun_s)


def frames_column(
    plan: Plan,
    options: ExtractOptions,
    *,
    signals: SignalOptions | None = None,
    is_split_at_cuts: bool = False,
) -> Column:
    """Return the column that the options make of ``plan``; its fingerprint covers them all."""
    known = {"cls": plan.has_labels, "txt": plan.has_captions}
    return make_column(
        FRAMES,
        kind=FRAMES,
        fields=("json", "mp4", *(field for field, is_known in known.items() if is_known)),
        options={
            **options.to_column(),
            **(signals.to_column() if signals else {}),
            **({CUT_OPTION: MIN_SHOT_S} if is_split_at_cuts else {}),
            "samples_per_shard": plan.samples_per_shard,
            "plan_sha256": plan.sha256,
        },
        source=None,
    )


class _Job:
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
        progress.start(len(self._plan.sources), "videos")
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

    def _kept(self, report: ShardReport) -> KeptShard | None:
        """Return what is kept of a shard with sources to try again, None for a shard without."""
        if not any(is_retried(each, retry=self._retry) for each in report.rejected):
            return None
        return KeptShard(self._data / FRAMES, report=report, retry=self._retry)

    def _make(
        self,
        pending: Sequence[int],
        *,
        retried: Mapping[int, KeptShard],
        num_workers: int,
        progress: Progress,
    ) -> Iterator[tuple[int, ShardReport]]:
        keys = [
            source.key
            for index in pending
            for source in self._plan.shard(index)
            if index not in retried or retried[index].is_open(source.key)
        ]
        options = replace(self._options, num_threads=max(1, num_workers // len(keys)))
        with Pool(
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
        self, index: int, *, kept: KeptShard | None, replies: Iterator[Reply], progress: Progress
    ) -> ShardReport:
        """Fill and commit one shard; an exception on the way leaves nothing of it."""
        begun_s = time.monotonic()
        rejected: list[Rejection] = []
        num_partial = 0
        sources = self._plan.shard(index)
        with folder.writing(self._data), ShardWriter(self._data / FRAMES, shard_name(index)) as writer:
            for source in sources:
                end = self._end(writer, source, kept=kept, replies=replies)
                if isinstance(end, Rejection):
                    rejected.append(end)
                    is_new = kept is None or kept.is_open(source.key)
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
        self, writer: ShardWriter, source: Source, *, kept: KeptShard | None, replies: Iterator[Reply]
    ) -> SampleMeta | Rejection:
        """Return what becomes of a source, after it was added to the shard if it becomes a sample."""
        if kept is None or kept.is_open(source.key):
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
        with folder.writing(self._data):
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
        reason = reply.failure or head["reason"]
        return Rejection(
            key=source.key,
            source=source.identity,
            reason=reason,
            message=reply.message or head["message"],
            tool="signals" if reason in DROPPED else self._options.decoder,
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
            reason="duplicate",
            message=f"It looks like {twin} (--drop-duplicates {self._signals.drop_duplicates}).",
            tool="signals",
        )

    def _count_in_a_row(self, rejection: Rejection) -> str:
        """Return a warning when so many in a row are rejected that something else must be wrong."""
        if rejection.reason in DROPPED:
            return ""
        self._num_in_a_row += 1
        times, rest = divmod(self._num_in_a_row, _MANY_IN_A_ROW)
        if rest or times & (times - 1):  # at 20, 40, 80, 160, …
            return ""
        return (
            f"{self._num_in_a_row} videos in a row were rejected, the last with {rejection.reason} "
            f"({rejection.message}): something else than the videos may be wrong, look before it runs on."
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
                note=f"Shards made before were made with {_listed(other)}, now {_listed(self._tools)}."
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
                note=f"Changed since their shards were finished, at the same size: "
                f"{counted(len(touched), 'video')}, the first {touched[0]}. Their samples show what they "
                "were: if they show something else now, choose another output."
            )


def _listed(tools: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(tools.items()))


def _result(reports: Sequence[ShardReport], *, num_before: int, elapsed_s: float) -> ExtractResult:
    reasons = Counter(rejection.reason for report in reports for rejection in report.rejected)
    num_samples = sum(report.num_samples for report in reports)
    num_partial = sum(report.num_partial for report in reports)
    return ExtractResult(
        num_sources=num_samples + reasons.total(),
        num_ok=num_samples - num_partial,
        num_partial=num_partial,
        num_rejected=reasons.total(),
        rejected_by_reason=dict(reasons.most_common()),
        num_frames=sum(report.num_frames for report in reports),
        num_shards=len(reports),
        num_shards_before=num_before,
        size_bytes=sum(report.size_bytes for report in reports),
        elapsed_s=round(elapsed_s, 3),
    )
