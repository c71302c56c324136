"""What the student is to say at the visible tokens, and which these are: from the shards, or computed now."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from vfm.trainer.data.features import ProductFeatures, ScalarFeatures
from vfm.trainer.methods.umt.reader import ARRIVALS, VISIBLE
from vfm.trainer.models.vit import take
from vfm.trainer.online_teacher import OnlineTeacher

_FRAMES_AT_ONCE = 64


class Teaching(Protocol):
    """Gives the teacher's side of a batch."""

    def __call__(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return which tokens are seen, int64 [B, N_visible], and their features, [B, N_visible, K, C].

        Args:
            batch: what the reader of the same kind has read.
        """


class StoredTeaching(nn.Module):
    """Features as the shards hold them.

    Args:
        features: makes numbers of them.
    """

    def __init__(self, features: ScalarFeatures | ProductFeatures) -> None:
        super().__init__()
        self.features = features

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `Teaching`."""
        return batch[VISIBLE], self.features(batch)


class OnlineTeaching:
    """Features of a teacher that looks at every clip now; it is no part of the method's state.

    Args:
        teacher: of single frames.
        num_levels: how many of its last levels are wanted.
        mask_ratio: share of the tokens of a frame that its attention hides.
    """

    def __init__(self, teacher: OnlineTeacher, *, num_levels: int, mask_ratio: float) -> None:
        self._teacher = teacher
        self._num_levels = num_levels
        self._mask_ratio = mask_ratio

    def __call__(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `Teaching`."""
        clip = batch["clip"]
        chunks = [self._teacher(frames) for frames in torch.split(clip.flatten(0, 1), _FRAMES_AT_ONCE)]
        features = torch.cat([features for features, _ in chunks])[:, :, -self._num_levels :]
        visible = batch.get(VISIBLE)
        if visible is None:
            attention = torch.cat([attention for _, attention in chunks])
            arrivals = batch[ARRIVALS]
            visible = self._draw(attention.view(arrivals.shape), arrivals)
        tokens = features.reshape(len(clip), -1, self._num_levels * features.shape[-1])
        return visible, take(tokens, visible).unflatten(2, (self._num_levels, -1))  # type: ignore[no-untyped-call]  # torch leaves it so

    def _draw(self, attention: Tensor, arrivals: Tensor) -> Tensor:
        """Return what `masks.attention_mask` shows of the same numbers, [B, T, N / T] each."""
        num_times, num_cells = attention.shape[1:]
        num_visible = num_cells - int(self._mask_ratio * num_cells)
        order = (arrivals / attention).argsort(dim=2, stable=True)
        cells = order[:, :, :num_visible].sort(dim=2).values
        first = torch.arange(num_times, device=cells.device)[:, None] * num_cells
        return (cells + first).flatten(1)
