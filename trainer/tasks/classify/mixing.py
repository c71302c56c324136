"""Clips of a batch that are mixed with each other, and boxes of them that become noise.

As timm mixes whole batches and UMT and VideoMAE finetune: clip i meets the i-th from the end.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vfm.shards.pixels.imagenet import MEAN, STD
from vfm.trainer.data.normalize import to_unit_range
from vfm.trainer.recipes.classify import Augmentation
from vfm.trainer.tasks.classify.clips import CLIP, ERASED


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How the clips of one batch are mixed.

    Attributes:
        share: of the clip itself in its label; the rest is its partner's.
        box: rows and columns, as slices, that the partner's pixels replace; None adds the pixels of both.
    """

    share: float
    box: tuple[slice, slice] | None = None


def draw_mix(*, mixup: float, cutmix: float, size_px: int, rng: np.random.Generator) -> Mix:
    """Return how a batch is mixed: by shares of pixels or, half of the times where both are wanted, by a box.

    The box has the drawn share as its area, its middle anywhere; what lies outside of the frame counts for
    nothing, so that the label's share follows the box.

    Args:
        mixup: parameters of the beta distribution of shares; 0 never adds pixels.
        cutmix: the same for boxes; not both are 0.
        size_px: side of a frame.
        rng: source of chance.
    """
    by_box = rng.random() < 0.5 if mixup and cutmix else cutmix > 0
    share = float(rng.beta(cutmix, cutmix) if by_box else rng.beta(mixup, mixup))
    if not by_box:
        return Mix(share=share)
    half_px = int(size_px * math.sqrt(1 - share)) // 2
    rows, columns = (
        slice(max(middle - half_px, 0), min(middle + half_px, size_px))
        for middle in rng.integers(size_px, size=2).tolist()
    )
    area_px = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Mix(share=1 - area_px / size_px**2, box=(rows, columns))


def mixed_clips(clips: Tensor, mix: Mix) -> Tensor:
    """Return clips, float [N, T, S, S, 3], each mixed with its partner."""
    partners = clips.flip(0)
    if mix.box is None:
        return mix.share * clips + (1 - mix.share) * partners
    rows, columns = mix.box
    clips = clips.clone()
    clips[:, :, rows, columns] = partners[:, :, rows, columns]
    return clips


def mixed_labels(labels: Tensor, mix: Mix, *, num_classes: int) -> Tensor:
    """Return the share of each class, float [N, classes], of labels int64 [N]."""
    wanted = functional.one_hot(labels, num_classes).float()
    return mix.share * wanted + (1 - mix.share) * wanted.flip(0)


def drawn_clips(batch: Mapping[str, Tensor], augment: Augmentation) -> Mapping[str, Tensor]:
    """Return the clips of a batch one by one, and noise in the boxes that were drawn for it.

    Args:
        batch: arrays of `RandomClip`, stacked; where clips are drawn, several of each sample [B, R, ...].
        augment: how they were drawn.
    """
    if augment.is_drawn:
        batch = {name: array.flatten(0, 1) for name, array in batch.items()}
    if augment.erase:
        batch = {**batch, CLIP: erased_clips(to_unit_range(batch[CLIP]), batch[ERASED])}
    return batch


def erased_clips(clips: Tensor, boxes: Tensor) -> Tensor:
    """Return clips with noise in a box, the same box in all frames and other noise in each.

    The noise is normal once pixels are normalized.

    Args:
        clips: float [N, T, S, S, 3] in 0..1.
        boxes: int64 [N, 4], top, left, height and width; empty ones erase nothing.
    """
    places = torch.arange(clips.shape[2], device=clips.device)
    top, left, height, width = boxes[:, :, None].unbind(1)
    in_rows = (places >= top) & (places < top + height)
    in_columns = (places >= left) & (places < left + width)
    is_erased = (in_rows[:, :, None] & in_columns[:, None])[:, None, :, :, None]
    mean, deviation = (torch.tensor(values, device=clips.device) for values in (MEAN, STD))
    return torch.where(is_erased, torch.randn_like(clips) * deviation + mean, clips)
