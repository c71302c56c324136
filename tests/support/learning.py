"""Learning without the loop: the same batch again and again."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vfm.trainer.method import Method


def learn_by_heart(
    method: Method, batch: Mapping[str, Tensor], *, num_updates: int, lr: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what a method says of a batch before the first update and after the last."""
    optimizer = torch.optim.AdamW(method.parameters(), lr=lr, weight_decay=0.0)
    first = method(batch)
    for _ in range(num_updates):
        optimizer.zero_grad()
        method(batch)["loss"].backward()
        optimizer.step()
    return first, method(batch)
