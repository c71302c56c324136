"""One source per shot: looks for the cuts of every video before the plan is made, and remembers them."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vfm.shards.format.plan import Source
from vfm.shards.format.shots import SCENES_NAME, read_shots
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.sealed import write_sealed
from vfm.shards.progress import Progress
from vfm.video2token.execution.executor import Reply
from vfm.video2token.execution.executors.processes import ProcessExecutor

MIN_SHOT_S = 1.0
_HANDLER = "vfm.video2token.analysis.measure:measure_one"
_SAVE_EVERY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSearchOptions:
    """What the search for cuts may cost.

    Attributes:
        num_workers: processes.
        timeout_s: wall time of one video; one that takes more stays whole.
        memory_bytes: address space of each process.
    """

    num_workers: int
    timeout_s: float
    memory_bytes: int


def split_shots(
    sources: Sequence[Source], data: Path, options: CutSearchOptions, *, progress: Progress
) -> list[Source]:
    """Return the sources with each video split at its cuts; the caller holds the dataset's lock.

    The cuts are kept in ``scenes.json`` of the dataset, and a video in there is not looked at again, so that
    the same sources give the same plan in every run. A video that cannot be looked at stays whole: decoding
    it will say why.

    Raises:
        DamageError: ``scenes.json`` is not as it was written.
        MachineError: workers do not start, or the dataset cannot be written.
    """
    shots = _search(sources, data, options, progress=progress)
    return [shot for source in sources for shot in shots_of(source, **shots[_name(source)])]


def shots_of(
    source: Source, *, cuts_s: Sequence[float], last_s: float | None, min_shot_s: float = MIN_SHOT_S
) -> list[Source]:
    """Return one source for each shot, or the source itself when it is a single shot.

    The key of a shot ends in its number, such as ``-s0001``, counted from 0. A shot shorter than
    ``min_shot_s`` is joined to the one after it, the last one to the one before.

    Args:
        source: a video, or a segment of one.
        cuts_s: where shots begin, seconds from the video's first frame, ascending.
        last_s: time of the last frame, in the same seconds; None for a video without frames.
        min_shot_s: the shortest shot.
    """
    starts_s = [source.start_s or 0.0]
    for cut_s in cuts_s:
        if cut_s - starts_s[-1] >= min_shot_s and last_s is not None and last_s - cut_s >= min_shot_s:
            starts_s.append(cut_s)
    if len(starts_s) == 1:
        return [source]
    begins = [source.start_s, *starts_s[1:]]
    ends = [*starts_s[1:], source.end_s]
    return [
        replace(source, key=f"{source.key}-s{index:04d}", start_s=begin, end_s=end)
        for index, (begin, end) in enumerate(zip(begins, ends, strict=True))
    ]


def _search(
    sources: Sequence[Source], data: Path, options: CutSearchOptions, *, progress: Progress
) -> dict[str, Any]:
    """Return the shots signal of each source by its name, looking only at those no earlier run looked at."""
    known = _read(data)
    unknown = [source for source in sources if _name(source) not in known]
    if not unknown:
        return known
    saved_s = time.monotonic()
    progress.start(len(unknown), "videos searched for cuts")
    try:
        with ProcessExecutor(
            _HANDLER,
            num_workers=min(options.num_workers, len(unknown)),
            timeout_s=options.timeout_s,
            memory_bytes=options.memory_bytes,
        ) as pool:
            replies = pool.run(_task(source) for source in unknown)
            for source, reply in zip(unknown, replies, strict=True):
                known[_name(source)] = _shots_in(reply)
                progress.advance(ok=1)
                if time.monotonic() - saved_s >= _SAVE_EVERY_S:
                    _write(data, known)
                    saved_s = time.monotonic()
    finally:
        progress.finish()
    _write(data, known)
    return known


def _task(source: Source) -> dict[str, Any]:
    return {
        "path": source.path,
        "signals": ["shots"],
        "start_s": source.start_s,
        "end_s": source.end_s,
        "size_bytes": source.size_bytes,
        "offset": source.offset,
        "mtime_ns": source.mtime_ns,
    }


def _shots_in(reply: Reply) -> dict[str, Any]:
    """Return a video's shots; no cut in one that cannot be looked at."""
    signals = reply.head["signals"] if reply.failure is None else {}
    return signals.get("shots", {"cuts_s": [], "last_s": None})  # type: ignore[no-any-return]


def _name(source: Source) -> str:
    """Return what tells a source and its bytes from all others, as far as the plan knows them."""
    return f"{source.key} {source.size_bytes} {source.start_s} {source.end_s}"


def _read(data: Path) -> dict[str, Any]:
    return {name: asdict(shots) for name, shots in read_shots(data).items()}


def _write(data: Path, shots: dict[str, Any]) -> None:
    with disk_faults(data):
        write_sealed(data / SCENES_NAME, dict(sorted(shots.items())))
