"""``vfm extract``: videos to the frames column of a dataset, in processes that may die, in one order."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vfm.shards.errors import MachineError
from vfm.shards.format.interop import finish_column
from vfm.shards.format.layout import FRAMES
from vfm.shards.format.manifest import Column, make_column
from vfm.shards.format.plan import Plan, Source, build_plan
from vfm.shards.format.quarantine import write_quarantine
from vfm.shards.format.report import ShardReport
from vfm.shards.format.shots import CUT_OPTION
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.lock import hold
from vfm.shards.progress import NoProgress, Progress
from vfm.video2token.analysis.options import SignalOptions
from vfm.video2token.jobs.extract import folder
from vfm.video2token.jobs.extract.job import ExtractJob
from vfm.video2token.jobs.extract.split_shots import MIN_SHOT_S, CutSearchOptions, split_shots
from vfm.video2token.jobs.extract.video_task import tool_versions
from vfm.video2token.options import ExtractOptions
from vfm.video2token.rejection import Retry
from vfm.video2token.sources.listing import list_sources

SAMPLES_PER_SHARD = 256


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
    listing = list_sources(inputs, missing="error")
    return extract_sources(
        listing.sources,
        data,
        options,
        classes=listing.classes,
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
    classes: Sequence[str] = (),
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
        classes: in the order of their index, those that no source has included; see `build_plan`.
        num_workers: decoding processes.
        retry: which sources that an earlier run rejected are tried again; their shards are rewritten with
            the samples they hold, and stay as they are when nothing comes of it.
        signals: what is measured beside the frames, and which videos are left out by it.
        is_split_at_cuts: make a sample of each shot of a video; the cuts are looked for first.
        progress: receives progress updates.

    Raises:
        UsageError: ``data`` holds another plan, other options, or something else; a label is none of the
            classes.
        MachineError: the disk is full or read-only, another job writes there, workers do not start.
    """
    begun_s, told = time.monotonic(), progress or NoProgress()
    asked = build_plan(sources, samples_per_shard=samples_per_shard, classes=classes)
    folder.make_folder(data)
    with hold(data):
        if is_split_at_cuts:
            search = CutSearchOptions(
                num_workers=num_workers, timeout_s=options.timeout_s, memory_bytes=options.memory_bytes
            )
            shots = split_shots(asked.sources, data, search, progress=told)
            asked = build_plan(shots, samples_per_shard=samples_per_shard, classes=classes)
        plan = folder.reconciled_plan(data, asked, retry=retry)
        column = frames_column(plan, options, signals=signals, is_split_at_cuts=is_split_at_cuts)
        tools = tool_versions(options.decoder)
        folder.prepare(data, plan, column, made_with=tools)
        job = ExtractJob(data, plan=plan, column=column, options=options, tools=tools, signals=signals)
        job.take(asked.sources, retry=retry)
        with _quarantine_written(data):
            reports = job.run(num_workers=num_workers, progress=told)
        with disk_faults(data):
            finish_column(data / FRAMES, reports=reports, has_splits=plan.has_splits)
    return _result(reports, num_before=job.num_before, elapsed_s=time.monotonic() - begun_s)


@contextlib.contextmanager
def _quarantine_written(data: Path) -> Iterator[None]:
    """Write the quarantine behind the block, also when it fails: what is done by then stays."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(MachineError), disk_faults(data):
            write_quarantine(data)  # how the job ended is what matters now
        raise
    with disk_faults(data):
        write_quarantine(data)


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
