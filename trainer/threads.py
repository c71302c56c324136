"""How many threads torch computes with on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let torch use ``count`` threads in the block; None leaves it its own choice, one per core.

    One thread is right for small models on a machine that is not idle: OpenMP's threads wait for each other
    by spinning, and with one busy neighbour a step of two was seen to take fifty times as long as of one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
