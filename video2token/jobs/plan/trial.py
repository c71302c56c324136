"""A small dataset in a temporary folder, made of a few sources, to measure what they take."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfm.shards.format.index import IndexRow
from vfm.shards.format.layout import FRAMES, shard_name
from vfm.shards.format.manifest import Column, Manifest, make_column, write_manifest
from vfm.shards.format.plan import Plan, Source
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.spool import Payload
from vfm.shards.io.tar import member_header, padded
from vfm.shards.progress import Progress
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.writing.writer import ShardWriter
from vfm.video2token.decoding.decoder import load_decoder
from vfm.video2token.execution.executor import Reply
from vfm.video2token.execution.executors.processes import ProcessExecutor
from vfm.video2token.jobs.extract.video_task import extract_one, task_of
from vfm.video2token.jobs.tokenize.target_task import compute_members
from vfm.video2token.options import ExtractOptions
from vfm.video2token.target import Target

_HANDLER = "vfm.video2token.jobs.plan.trial:extract_and_time"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOutcome:
    """What became of one source.

    Attributes:
        meta: of its sample, None when it was rejected.
        reason: why it was rejected, empty when it was not.
        size_bytes: of its members in the frames column, headers and padding included.
        elapsed_s: how long a process worked on it.
    """

    meta: SampleMeta | None
    reason: str
    size_bytes: int
    elapsed_s: float


def extract_and_time(task: dict[str, Any]) -> tuple[dict[str, Any], Payload]:
    """Return what ``extract_one`` does, and in its head the seconds that it took: ``elapsed_s``."""
    load_decoder(task["options"]["decoder"])  # once a process
    begun_s = time.monotonic()
    head, body = extract_one(task)
    return {**head, "elapsed_s": time.monotonic() - begun_s}, body


def extract_sample(
    data: Path,
    *,
    plan: Plan,
    sources: Sequence[Source],
    options: ExtractOptions,
    num_workers: int,
    progress: Progress,
) -> list[TrialOutcome]:
    """Extract ``sources``, some of ``plan``, into a dataset of one shard in the empty folder ``data``.

    Raises:
        MachineError: workers do not start, or the temporary folder is full.
    """
    # Targets go by whether these are images; nobody else reads this dataset.
    kind = {"images": True} if options.images else {}
    column = make_column(FRAMES, kind=FRAMES, fields=_fields(plan), options=kind, source=None)
    outcomes = []
    progress.start(len(sources), "sampled images" if options.images else "sampled videos")
    try:
        with (
            disk_faults(data),
            ShardWriter(data / FRAMES, shard_name(0)) as writer,
            ProcessExecutor(
                _HANDLER,
                num_workers=min(num_workers, len(sources)),
                timeout_s=options.timeout_s,
                memory_bytes=options.memory_bytes,
            ) as pool,
        ):
            replies = pool.run(task_of(source, options) for source in sources)
            for source, reply in zip(sources, replies, strict=True):
                outcomes.append(_outcome(writer, plan, source, reply, options=options))
                is_ok = outcomes[-1].meta is not None
                progress.advance(ok=is_ok, rejected=not is_ok)
            writer.commit(column=FRAMES, fingerprint=column.fingerprint)
            write_manifest(data, _manifest(plan, column))
    finally:
        progress.finish()
    return outcomes


def measure_target(data: Path, target: Target, outcomes: Sequence[TrialOutcome]) -> list[tuple[int, float]]:
    """Compute a target of a trial with one process; return bytes in its tars and seconds for each source.

    The time is shared among the sources by their frames, which are computed together.

    Raises:
        DamageError: a value is not finite.
    """
    dataset = open_dataset(data)
    begun_s = time.monotonic()
    sizes_bytes = iter(_target_sizes(dataset, target))
    per_frame_s = (time.monotonic() - begun_s) / max(int(dataset.num_frames.sum()), 1)
    return [
        (0, 0.0) if outcome.meta is None else (next(sizes_bytes), per_frame_s * outcome.meta.num_frames)
        for outcome in outcomes
    ]


def tar_bytes(key: str, members: Mapping[str, Payload]) -> int:
    """Return how many bytes a sample takes in a tar: headers, contents and padding."""
    return sum(
        len(member_header(f"{key}.{field}", size_bytes=len(payload))) + padded(len(payload))
        for field, payload in members.items()
    )


def _target_sizes(dataset: Dataset, target: Target) -> list[int]:
    indices = range(len(dataset))
    return [
        tar_bytes(dataset.keys[index], dict(zip(target.fields, members, strict=True)))
        for index, members in zip(indices, compute_members(dataset, target, indices), strict=True)
    ]


def _outcome(
    writer: ShardWriter, plan: Plan, source: Source, reply: Reply, *, options: ExtractOptions
) -> TrialOutcome:
    """Add a sample when there is one, and return what became of its source."""
    if reply.failure is not None:
        elapsed_s = options.timeout_s if reply.failure == "timeout" else 0.0
        return TrialOutcome(meta=None, reason=reply.failure, size_bytes=0, elapsed_s=elapsed_s)
    elapsed_s = float(reply.head["elapsed_s"])
    if "meta" not in reply.head:
        return TrialOutcome(meta=None, reason=str(reply.head["reason"]), size_bytes=0, elapsed_s=elapsed_s)
    meta = SampleMeta.from_json(reply.head["meta"].encode())
    class_index = -1 if source.label is None else plan.classes.index(source.label)
    known: dict[str, Payload] = {
        "json": meta.to_json(),
        "mp4": reply.body,
        "cls": str(class_index).encode(),
        "txt": next(iter(source.captions), "").encode(),
    }
    members = {field: known[field] for field in _fields(plan)}
    row = IndexRow(
        num_frames=meta.num_frames,
        class_index=class_index,
        split=source.split or "",
        frame_offsets=reply.head["offsets"],
        frame_sizes=reply.head["sizes"],
    )
    writer.add(source.key, members, row=row)
    return TrialOutcome(meta=meta, reason="", size_bytes=tar_bytes(source.key, members), elapsed_s=elapsed_s)


def _fields(plan: Plan) -> tuple[str, ...]:
    known = {"cls": plan.has_labels, "txt": plan.has_captions}
    return ("json", "mp4", *(field for field, is_known in known.items() if is_known))


def _manifest(plan: Plan, column: Column) -> Manifest:
    return Manifest(
        plan_sha256=plan.sha256,
        num_sources=len(plan.sources),
        num_shards=1,
        classes=plan.classes,
        columns={FRAMES: column},
    )
