"""What is done with the repeated blocks of a network, whichever it is: compiled, or computed twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vfm.shards.errors import MachineError


def blocks_of(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks that follow each other in a network: the entries of its outermost lists of modules."""
    for child in network.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from blocks_of(child)


def recompute(network: nn.Module) -> None:
    """Keep nothing of the inside of a block for the backward pass, which computes it again.

    Memory grows with one block in place of all; what is drawn in a block is drawn again alike, and gradients
    are the same bits (Chen et al. 2016, arXiv 1604.06174).
    """
    for block in blocks_of(network):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def compile_blocks(network: nn.Module) -> None:
    """Let ``torch.compile`` make kernels of each block, when it first runs.

    Blocks of one kind share what was compiled for the first, so that it takes seconds where the whole network
    takes minutes; what lies between them, such as choosing visible tokens, would break a whole graph anyway.
    """
    for block in blocks_of(network):
        block.forward = torch.compile(block.forward)


@contextmanager
def as_written(network: nn.Module) -> Iterator[None]:
    """Undo `recompute` and `compile_blocks` for a while."""
    changed = [block for block in blocks_of(network) if "forward" in vars(block)]
    kept = [vars(block).pop("forward") for block in changed]
    try:
        yield
    finally:
        for block, forward in zip(changed, kept, strict=True):
            block.forward = forward


@contextmanager
def compiling() -> Iterator[None]:
    """Pass on as one sentence that there is no compiler, or that it failed.

    Raises:
        MachineError: ``torch.compile`` could not do its work.
    """
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        why = str(error).strip().partition("\n")[0]
        raise MachineError(
            f"torch.compile failed ({why}): leave out train.compile, or mend its compiler."
        ) from error
