"""What a computing process does: samples of a dataset in, the members of a target column out."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from vfm.shards import errors
from vfm.shards.io.npy import from_npy, to_npy
from vfm.shards.io.spool import Payload, part_of
from vfm.shards.progress import NoProgress
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.video2token.target import Arrays, Part, Target, TargetOptions
from vfm.video2token.targets import build_target

Members = list[bytes]  # of one sample, in the order of the target's fields


def compute_members(dataset: Dataset, target: Target, indices: Sequence[int]) -> Iterator[Members]:
    """Yield the members of each sample of a shard, computed with one thread of torch.

    One, because processes scale better than threads, and because sums then come in one order. What looks at
    no frames does not wait for torch.
    """
    with one_thread() if target.views else contextlib.nullcontext():
        for arrays in target.rows(dataset, indices):
            yield _members(arrays, target)


def compute_part(task: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return what one part computes; a handler for ``vfm.video2token.execution.executors.processes``.

    Args:
        task: ``data`` (folder), ``spec`` and ``options`` (fields of ``TargetOptions``) of the target,
            ``expected`` (the target's options as the job knows them), and ``part`` (fields of ``Part``).

    Returns:
        ``sizes``, for each item that the part yields the bytes of each of its arrays, and these arrays as
        npy, one after the other; or ``error`` and ``message``, a fault to be told to the user.
    """
    try:
        dataset, target = _opened(task["data"], task["spec"], json.dumps(task["options"]))
        if target.options != task["expected"]:
            raise errors.UsageError(
                f"{task['spec']} changed while the job was running: leave it alone and run the command again."
            )
        with one_thread():
            items = [_members(arrays, target) for arrays in target.compute_part(dataset, Part(*task["part"]))]
    except errors.VfmError as error:
        return {"error": type(error).__name__, "message": str(error)}, b""
    sizes = [[len(member) for member in members] for members in items]
    return {"sizes": sizes}, b"".join(member for members in items for member in members)


def arrays_in(head: dict[str, Any], body: Payload, *, fields: Sequence[str]) -> Iterator[Arrays]:
    """Yield the items of a reply of ``compute_part``.

    Raises:
        VfmError: the fault that it told.
    """
    if "error" in head:
        raise getattr(errors, head["error"])(head["message"])
    start = 0
    for sizes in head["sizes"]:
        arrays = {}
        for field, size in zip(fields, sizes, strict=True):
            arrays[field] = from_npy(bytes(part_of(body, start, size)), name=field)
            start += size
        yield arrays


def _members(arrays: Arrays, target: Target) -> Members:
    return [to_npy(arrays[field]) for field in target.fields]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread in the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _opened(data: str, spec: str, options: str) -> tuple[Dataset, Target]:
    """Open dataset and target once for all tasks of a process, which serves one job."""
    dataset, target = open_dataset(Path(data)), build_target(spec, TargetOptions(**json.loads(options)))
    there = dataset.manifest.columns.get(target.name)
    target.fit(dataset, dataset.data / target.name, there=there, progress=NoProgress())
    return dataset, target
