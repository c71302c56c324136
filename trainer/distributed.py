"""One process or many: who we are under torchrun, and the few sums that all ranks need."""

import contextlib
import gc
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vfm.shards.errors import MachineError, UsageError
from vfm.shards.parent import die_with


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where this process stands among those that train together.

    Attributes:
        rank: number of this process, 0 to ``size - 1``; rank 0 writes files and talks.
        size: processes in all.
        device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device

    @property
    def is_chief(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0


@contextlib.contextmanager
def join(device: str) -> Iterator[World]:
    """Join the other ranks that torchrun started, if it did, and leave them at the end.

    Inside of a block that has joined them already it changes nothing.

    Args:
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.

    Raises:
        UsageError: CUDA was asked for and there is none.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # Nobody else would end a rank whose torchrun was killed: it has a session of its own.
        die_with(os.getppid())
    size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = _choose(device, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    if size == 1:
        yield World(device=chosen)
        return
    if dist.is_initialized():
        yield World(rank=dist.get_rank(), size=dist.get_world_size(), device=chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # DistributedDataParallel imports this module, which would keep a process group that it finds for ever.
    importlib.import_module("torch._dynamo")
    with _stdout_as_stderr():
        _meet("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield World(rank=dist.get_rank(), size=size, device=chosen)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        # Nothing may keep the group: a thread of gloo's that frees a tensor while Python exits aborts the
        # process (pytorch/pytorch#179291).
        dist.destroy_process_group()
        gc.collect()


def _meet(backend: str) -> None:
    try:
        dist.init_process_group(backend)
        if backend == "gloo":
            # A rank that is connected to all may still be waited for by others that are not.
            dist.barrier()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise MachineError(
            f"A rank did not meet the others ({reason}): see what those say, and whether MASTER_ADDR and "
            "MASTER_PORT are the same for all."
        ) from error


@contextlib.contextmanager
def _stdout_as_stderr() -> Iterator[None]:
    """Keep what C++ writes away from stdout, which is for results: gloo of torch 2.10 writes there."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def wrap(method: nn.Module, *, world: World) -> nn.Module:
    """Return ``method`` as the training step calls it: with several ranks, gradients are averaged over them.

    On CUDA its batch norms see the whole batch; a CPU has no such kernel, there each rank normalises its own.
    Buffers are not broadcast: most are tables that never change, and the running means of batch norms are
    equal on every rank where the norms see the whole batch, else those of rank 0 are kept.
    """
    if world.size == 1:
        return method
    is_cuda = world.device.type == "cuda"
    if is_cuda:
        method = nn.SyncBatchNorm.convert_sync_batchnorm(method)  # type: ignore[no-untyped-call]
    devices = [world.device] if is_cuda else None
    # By its name of today where torch has it, which else warns of the other one.
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    sync: dict[str, Any] = {name: False}
    return DistributedDataParallel(method, device_ids=devices, **sync)


def unsynced(wrapped: nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which gradients stay on this rank: for all micro-batches but an update's last."""
    if isinstance(wrapped, DistributedDataParallel):
        return wrapped.no_sync()
    return contextlib.nullcontext()


def largest(values: Sequence[float], *, world: World) -> list[float]:
    """Return the largest of each value over the ranks; every rank must call this at the same point."""
    if world.size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=world.device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return [float(value) for value in tensor.tolist()]


def mean(values: Tensor, *, world: World) -> Tensor:
    """Return the mean of a tensor over the ranks; every rank must call this at the same point."""
    if world.size > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= world.size
    return values


def gather(value: Any, *, world: World) -> list[Any]:
    """Return the value of every rank, in order of rank; every rank must call this at the same point."""
    if world.size == 1:
        return [value]
    gathered: list[Any] = [None] * world.size
    dist.all_gather_object(gathered, value)
    return gathered


def from_chief(value: Any, *, world: World) -> Any:
    """Return rank 0's value on every rank."""
    if world.size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def _choose(device: str, *, local_rank: int) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise UsageError("torch finds no CUDA device it can use: choose --device cpu.")
    if device == "cuda" or (device == "auto" and has_cuda):
        if local_rank >= torch.cuda.device_count():
            raise UsageError(
                f"Rank {local_rank} of this machine has no GPU, of which torch finds "
                f"{torch.cuda.device_count()}: start as many ranks."
            )
        return torch.device("cuda", local_rank)
    return torch.device("cpu")
