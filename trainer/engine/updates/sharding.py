"""Weights, gradients and moments that are divided among the ranks, and how they become whole again.

What torch divides by takes almost a second to load, and is loaded where something is divided.
"""

# ruff: noqa: PLC0415

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

from vfm.trainer.distributed import World
from vfm.trainer.engine.updates.blocks import blocks_of

Keep = Callable[[Tensor], Tensor]  # what is kept of a tensor as soon as it is whole
_HELD_OUT = "held_out"  # the other way into a method, see `vfm.trainer.method.Method`


def shard(method: nn.Module, *, world: World) -> None:
    """Divide a method among the ranks, block by block (FSDP2, ``torch.distributed.fsdp.fully_shard``).

    Each rank holds its part of every tensor; a block is whole while it computes. Gradients are averaged over
    the ranks as `DistributedDataParallel` does.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(world.device.type, (world.size,))
    for block in blocks_of(method):
        fully_shard(block, mesh=mesh)
    fully_shard(method, mesh=mesh)
    register_fsdp_forward_method(method, _HELD_OUT)


@contextmanager
def unreduced(network: nn.Module) -> Iterator[None]:
    """Let gradients of a divided method add up on each rank: for all micro-batches but an update's last."""
    from torch.distributed.fsdp import FSDPModule

    assert isinstance(network, FSDPModule), "nobody else asks"
    network.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        network.set_requires_gradient_sync(True)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor with the parts of all ranks; every rank must call this, in the same order."""
    return tensor.full_tensor() if _is_divided(tensor) else tensor


def part_of(tensor: Tensor, *, like: Tensor) -> Tensor:
    """Return a whole tensor, which every rank has, divided as another one is, on its device."""
    tensor = tensor.to(like.device)
    if not _is_divided(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def _is_divided(tensor: Tensor) -> "TypeGuard[DTensor]":
    loaded = sys.modules.get("torch.distributed.tensor")
    return loaded is not None and isinstance(tensor, loaded.DTensor)


def kept_by(world: World) -> Keep:
    """Return what keeps whole tensors on the CPU of the rank that writes files, and nothing elsewhere."""
    return Tensor.cpu if world.is_chief else lambda tensor: tensor.new_empty(0)


def whole_state(module: nn.Module, *, keep: Keep = Tensor.detach) -> dict[str, Tensor]:
    """Return a module's state with whole tensors, tied ones as one; every rank must call this.

    Args:
        module: divided or not.
        keep: see `Keep`.
    """
    kept: dict[int, Tensor] = {}
    state = module.state_dict(keep_vars=True)
    for tensor in state.values():
        if id(tensor) not in kept:
            kept[id(tensor)] = keep(whole(tensor.detach()))
    return {name: kept[id(tensor)] for name, tensor in state.items()}
