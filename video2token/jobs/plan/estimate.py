"""``vfm plan``: what a job would give and take, from a sample of its sources that is really extracted."""

import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.format.plan import Plan, Source, build_plan
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.tar import END_OF_TAR
from vfm.shards.progress import NoProgress, Progress
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.jobs.enlargement import find_enlargement
from vfm.video2token.jobs.plan.statistics import Estimate, share, total
from vfm.video2token.jobs.plan.trial import TrialOutcome, extract_sample, measure_target
from vfm.video2token.options import ExtractOptions
from vfm.video2token.target import Target, TargetOptions
from vfm.video2token.targets import build_target

_LARGEST = 4  # one of every 4 sampled sources is taken for its size


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnEstimate:
    """What one column would take.

    Attributes:
        name: such as ``frames``.
        size_bytes: of its tars.
        elapsed_s: wall time with the processes that were asked for.
    """

    name: str
    size_bytes: Estimate
    elapsed_s: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEstimate:
    """What ``vfm extract`` and ``vfm tokenize`` would make of the sources.

    Attributes:
        num_sources: in all.
        source_bytes: of them, as far as their sizes are known.
        num_shards: of each column.
        num_sampled: how many sources were really extracted.
        num_largest: how many of these were taken because they are the largest; the others at random.
        num_rejected: how many of these gave no sample.
        rejected_by_reason: the same by reason, most first.
        rejected_share: of all sources, 0 to 1.
        video_s: seconds of video in the sources that give samples.
        num_frames: that would be stored.
        columns: frames first, then the targets.
        num_workers: processes that the times are for.
        free_bytes: where the output would be; None when no output was named.
        measured_s: wall time of this measurement.
    """

    num_sources: int
    source_bytes: int
    num_shards: int
    num_sampled: int
    num_largest: int
    num_rejected: int
    rejected_by_reason: dict[str, int]
    rejected_share: Estimate
    video_s: Estimate
    num_frames: Estimate
    columns: tuple[ColumnEstimate, ...]
    num_workers: int
    free_bytes: int | None
    measured_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateOptions:
    """How to measure.

    Attributes:
        num_sampled: how many sources to extract, at most.
        seed: of the choice among them.
        samples_per_shard: of the job.
        classes: of the job; see `build_plan`.
        num_workers: processes of the job and of the measurement.
        output: where the job would write, to ask for its free space; nothing is written there.
    """

    num_sampled: int = 32
    seed: int = 0
    samples_per_shard: int = 256
    classes: Sequence[str] = ()
    num_workers: int = 1
    output: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a sample of none."""
        if self.num_sampled < 1:
            raise UsageError(f"--sample must be at least 1, got {self.num_sampled}.")


def estimate(
    sources: Sequence[Source],
    options: ExtractOptions,
    how: EstimateOptions,
    *,
    specs: Sequence[str] = (),
    target_options: TargetOptions | None = None,
    progress: Progress | None = None,
) -> PlanEstimate:
    """Extract a sample of ``sources`` into a temporary folder, and say what all of them would give and take.

    A quarter of the sample are the largest sources: a few long videos may hold most of the frames, and chance
    would mostly miss them. The others are chosen with equal chances, without replacement. Every figure is the
    sum over the largest, and the mean over the others times their number in all; a rejected source counts
    as 0. When all sources are in the sample sizes and counts are exact. Times are seconds of work divided
    among the processes, without the moment these take to start.

    Args:
        sources: of ``list_sources``.
        options: of the job.
        how: how to measure.
        specs: targets that would be computed, as in ``tokenize``.
        target_options: what every target is told.
        progress: receives progress updates of the sample's extraction.

    Raises:
        UsageError: no sources, no such target, or a label that is none of the classes.
        MachineError: workers do not start.
    """
    begun_s, told = time.monotonic(), progress or NoProgress()
    plan = build_plan(sources, samples_per_shard=how.samples_per_shard, classes=how.classes)
    targets = [build_target(spec, target_options or TargetOptions()) for spec in specs]
    largest, others = choose(plan, num_sampled=how.num_sampled, seed=how.seed)
    with TemporaryDirectory(prefix="vfm-plan-") as folder:
        data = Path(folder)
        outcomes = extract_sample(
            data,
            plan=plan,
            sources=[*largest, *others],
            options=options,
            num_workers=how.num_workers,
            progress=told,
        )
        rows = {FRAMES: [(outcome.size_bytes, outcome.elapsed_s) for outcome in outcomes]}
        rows |= _measured(data, targets, outcomes, progress=told)
    result = _Scale(plan, how, num_largest=len(largest)).result(outcomes, rows)
    return replace(result, measured_s=round(time.monotonic() - begun_s, 3))


def _measured(
    data: Path, targets: Sequence[Target], outcomes: Sequence[TrialOutcome], *, progress: Progress
) -> dict[str, list[tuple[int, float]]]:
    rows = {}
    for target in targets:
        rows[target.name] = measure_target(data, target, outcomes)
        if enlarged := find_enlargement(target, open_dataset(data)):
            progress.advance(note=f"{enlarged.told}: {enlarged.remedy}.")
    return rows


class _Scale:
    """From what sampled sources take to what all of a plan take."""

    def __init__(self, plan: Plan, how: EstimateOptions, *, num_largest: int) -> None:
        self._plan, self._how = plan, how
        self._num_all = len(plan.sources)
        self._num_largest = num_largest
        self._num_workers = min(how.num_workers, self._num_all)
        self._end_bytes = plan.num_shards * len(END_OF_TAR)
        self._rng = np.random.default_rng([how.seed, 1])

    def result(
        self, outcomes: Sequence[TrialOutcome], rows: Mapping[str, Sequence[tuple[int, float]]]
    ) -> PlanEstimate:
        """Return what all sources would give and take; the moment it took to measure stays open."""
        reasons = Counter(outcome.reason for outcome in outcomes if outcome.meta is None)
        metas = [outcome.meta for outcome in outcomes]
        sources, output = self._plan.sources, self._how.output
        return PlanEstimate(
            num_sources=len(sources),
            source_bytes=sum(max(source.size_bytes, 0) for source in sources),
            num_shards=self._plan.num_shards,
            num_sampled=len(outcomes),
            num_largest=self._num_largest,
            num_rejected=reasons.total(),
            rejected_by_reason=dict(reasons.most_common()),
            rejected_share=self.share([meta is None for meta in metas]),
            video_s=self.total([0.0 if meta is None else seconds_of(meta) for meta in metas]),
            num_frames=self.total([0 if meta is None else meta.num_frames for meta in metas]),
            columns=tuple(self.column(name, measured) for name, measured in rows.items()),
            num_workers=self._how.num_workers,
            free_bytes=None if output is None else free_bytes(output),
            measured_s=0.0,
        )

    def total(self, values: Sequence[float]) -> Estimate:
        """Return the sum over all sources; the values are those of the largest, then of the others."""
        seen = float(sum(values[: self._num_largest]))
        others = np.array(values[self._num_largest :], np.float64)
        rest = total(others, num_all=self._num_all - self._num_largest, rng=self._rng)
        return Estimate(value=seen + rest.value, low=seen + rest.low, high=seen + rest.high)

    def share(self, hits: Sequence[bool]) -> Estimate:
        """Return the share of all sources that are hit, in the same order."""
        seen, others = sum(hits[: self._num_largest]), hits[self._num_largest :]
        num_others = self._num_all - self._num_largest
        rest = share(sum(others), num_sampled=len(others), num_all=num_others)
        value, low, high = (
            (seen + num_others * part) / self._num_all for part in (rest.value, rest.low, rest.high)
        )
        return Estimate(value=value, low=low, high=high)

    def column(self, name: str, measured: Sequence[tuple[int, float]]) -> ColumnEstimate:
        size = self.total([size_bytes for size_bytes, _ in measured])
        ends = self._end_bytes if size.value else 0
        return ColumnEstimate(
            name=name,
            size_bytes=Estimate(value=size.value + ends, low=size.low + ends, high=size.high + ends),
            elapsed_s=self.total([elapsed_s / self._num_workers for _, elapsed_s in measured]),
        )


def choose(plan: Plan, *, num_sampled: int, seed: int) -> tuple[list[Source], list[Source]]:
    """Return the largest sources, a quarter of ``num_sampled``, and some of the others by chance.

    Both are in the order of the plan; all sources are chosen when there are no more than ``num_sampled``.
    """
    num_all = len(plan.sources)
    num_sampled = min(num_sampled, num_all)
    by_size = sorted(range(num_all), key=lambda number: -plan.sources[number].size_bytes)
    num_largest = num_sampled // _LARGEST
    largest, others = sorted(by_size[:num_largest]), sorted(by_size[num_largest:])
    drawn = np.random.default_rng(seed).choice(others, size=num_sampled - num_largest, replace=False)
    return [plan.sources[i] for i in largest], [plan.sources[i] for i in sorted(drawn.tolist())]


def seconds_of(meta: SampleMeta) -> float:
    """Return how long a sample's video is: as it tells, or what its frames cover where it tells nothing.

    A segment's length is what its frames cover, whatever the file around it tells.
    """
    is_whole = meta.start_s is None and meta.end_s is None
    if is_whole and meta.source_duration_s is not None and "duration_lies" not in meta.flags:
        return meta.source_duration_s
    last_s = 1 / meta.fps if meta.fps else 0.0
    return meta.pts_s[-1] - meta.pts_s[0] + last_s


def free_bytes(path: Path) -> int:
    """Return how much may be written where ``path`` is or would be."""
    there = path.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free
