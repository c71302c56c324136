"""The codebook while it learns: vectors follow the features nearest to them, unused ones move."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from vfm.video2token.tokenizers.codebook.codebook import nearest

_DECAY = 0.98  # 0.97 learns faster, 0.99 uses more codes; measured over 400 and 1200 steps
_COMMITMENT = 0.25  # weight of the encoder's pull towards the vectors (van den Oord et al. 2017, eq. 3)
_DEAD_SHARE = 0.03  # of the use that all vectors would have if all were used alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """What a quantiser makes of features.

    Attributes:
        vectors: [N, D, h, w], what the decoder is given; gradients pass to the features unchanged.
        codes: int64 [N, h, w].
        loss: scalar, to be added to the reconstruction's.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor


class Quantizer(Protocol):
    """Turns features into one of finitely many vectors."""

    def __call__(self, features: Tensor) -> Quantized:
        """Quantise float32 features [N, D, h, w], and learn from them."""


class EmaQuantizer:
    """Nearest vectors, each the moving average of what falls to it.

    Van den Oord et al. 2017 (arXiv 1711.00937), appendix A.1, and Razavi et al. 2019 (arXiv 1906.00446).
    A vector that hardly anything falls to is put on a random feature of the batch, so that none is wasted.

    Attributes:
        table: float32 [V, D], the vectors.
    """

    def __init__(
        self, *, vocab_size: int, code_dim: int, generator: torch.Generator, device: str = "cpu"
    ) -> None:
        self.table = torch.zeros(vocab_size, code_dim, device=device)
        self._counts = torch.zeros(
            vocab_size, device=device
        )  # moving average of how many features fall to each
        self._generator = generator

    def state(self) -> dict[str, Tensor]:
        """Return all that it has learnt, and the state of its generator."""
        return {
            "quantiser.table": self.table,
            "quantiser.counts": self._counts,
            "quantiser.generator": self._generator.get_state(),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` had given."""
        self.table = state["quantiser.table"].to(self.table)
        self._counts = state["quantiser.counts"].to(self._counts)
        self._generator.set_state(state["quantiser.generator"].cpu())

    @torch.no_grad()
    def _learn(self, rows: Tensor, codes: Tensor) -> None:
        """Move the vectors towards the features [M, D] that fell to them."""
        ones = self._counts.new_ones(len(rows))
        counts = torch.zeros_like(self._counts).index_add_(0, codes, ones)
        sums = torch.zeros_like(self.table).index_add_(0, codes, rows)
        old = self._counts[:, None] * _DECAY
        new_counts = self._counts * _DECAY + counts * (1 - _DECAY)
        moved = (self.table * old + sums * (1 - _DECAY)) / new_counts.clamp_min(1e-9)[:, None]
        self.table = torch.where(new_counts[:, None] > 0, moved, self.table)
        self._counts = new_counts
        self._move_unused(rows)

    def _move_unused(self, rows: Tensor) -> None:
        fair = len(rows) / len(self.table)
        unused = (self._counts < _DEAD_SHARE * fair).nonzero()[:, 0]
        chosen = torch.randint(len(rows), (len(unused),), generator=self._generator)
        self.table[unused] = rows[chosen.to(rows.device)]
        self._counts[unused] = fair / 2  # for as long as it takes to see whether the new place is better

    def __call__(self, features: Tensor) -> Quantized:
        """Return the nearest vectors, then learn; the first features become the vectors."""
        rows = features.detach().permute(0, 2, 3, 1).reshape(-1, features.shape[1])
        if not self._counts.any():
            self._move_unused(rows)
        codes = nearest(rows, self.table)
        places = codes.view(len(features), *features.shape[2:])
        found = self.table[places].permute(0, 3, 1, 2)
        self._learn(rows, codes)
        return Quantized(
            vectors=features + (found - features).detach(),
            codes=places,
            loss=_COMMITMENT * functional.mse_loss(features, found),
        )
