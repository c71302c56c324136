"""Rows of every rank, put together so that gradients find their way back."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        # A reduce-scatter would send half as much; these rows are few, and its name changes with torch.
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def is_distributed() -> bool:
    """Return whether this process belongs to a group of more than one."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """Return this process's number in its group, 0 when it is alone."""
    return dist.get_rank() if is_distributed() else 0


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows of all ranks, in the order of the ranks.

    Backward sums over the ranks what each of them derived for a row. The parameter gradient,
    once DDP has averaged it, then equals that of one process holding the whole batch.

    Args:
        rows: [R, ...], the same shape on every rank.

    Returns:
        [world_size * R, ...]; `rows` itself when this process is alone.
    """
    if not is_distributed():
        return rows
    gathered: Tensor = _GatherRows.apply(rows)
    return gathered
