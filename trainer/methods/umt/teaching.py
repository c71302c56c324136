"""What the student is to say at the visible tokens, and which these are: from the shards, or computed now."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from vfm.trainer.data.features import ProductFeatures, ScalarFeatures
from vfm.trainer.method import OnlineTeacher
from vfm.trainer.methods.umt.reader import ARRIVALS, IS_HIDDEN
from vfm.trainer.models.vit import split_mask, take

_FRAMES_AT_ONCE = 64


class Teaching(Protocol):
    """Gives the teacher's side of a batch."""

    def __call__(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return which tokens are hidden, bool [B, N], and the features of the others, [B, N_visible, K, C].

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
        return batch[IS_HIDDEN], self.features(batch)


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
        is_hidden = batch.get(IS_HIDDEN)
        if is_hidden is None:
            attention = torch.cat([attention for _, attention in chunks])
            is_hidden = self._hide(attention, batch[ARRIVALS].flatten(0, 1)).view(len(clip), -1)
        visible, _ = split_mask(is_hidden)
        tokens = features.reshape(len(clip), -1, self._num_levels * features.shape[-1])
        return is_hidden, take(tokens, visible).unflatten(2, (self._num_levels, -1))  # type: ignore[no-untyped-call]  # torch leaves it so

    def _hide(self, attention: Tensor, arrivals: Tensor) -> Tensor:
        """Return what `masks.attention_mask` does of the same numbers, bool [F, N]."""
        num_visible = attention.shape[1] - int(self._mask_ratio * attention.shape[1])
        order = (arrivals / attention).argsort(dim=1, stable=True)
        is_hidden = torch.ones_like(attention, dtype=torch.bool)
        return is_hidden.scatter_(1, order[:, :num_visible], value=False)
