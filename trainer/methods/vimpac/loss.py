"""The two losses of VIMPAC: predict masked codes, and find the other clip of a video among many clips."""

import torch
from torch import Tensor
from torch.nn import functional

from vfm.shards.errors import UsageError
from vfm.trainer.gather import gather_rows, rank

SELF = 1e9  # taken off an anchor's similarity to itself


def nce_loss(projected: Tensor, *, temperature: float, normalize: bool = True) -> Tensor:
    """Contrast two clips of every video, over the micro-batches of all ranks (arXiv 2106.11250, section 3.3).

    Every clip is an anchor; its candidates are the other clips of all ranks, its target the other clip of its
    video. The two directions are added, not averaged, and the sum is multiplied by the temperature, as the
    reference does.

    Args:
        projected: [2 B, C]: the first clips of this rank's B videos, then their second clips.
        temperature: divides similarities.
        normalize: compare directions only.

    Returns:
        A scalar in float32, the mean over this rank's videos.

    Raises:
        UsageError: there is one video in all, which has nothing to be told from: its loss would be 0.
    """
    with torch.autocast(projected.device.type, enabled=False):
        clips = projected.float()
        if normalize:
            # A projection of zeros (every ReLU before it is shut) has no direction; the reference gives NaN.
            clips = functional.normalize(clips, dim=1, eps=1e-12)
        first, second = clips.chunk(2)
        all_first, all_second = gather_rows(first), gather_rows(second)
        if len(all_first) < 2:
            raise UsageError(
                "A micro-batch of one video has no other video to contrast it with: set "
                "train.micro_batch_size to 2 or more, or objective.nce_weight=0."
            )
        one_way = _contrast(first, partners=all_second, rivals=all_first, temperature=temperature)
        other_way = _contrast(second, partners=all_first, rivals=all_second, temperature=temperature)
        return (one_way + other_way) * temperature


def _contrast(anchors: Tensor, *, partners: Tensor, rivals: Tensor, temperature: float) -> Tensor:
    num_anchors = anchors.shape[0]
    own = torch.arange(num_anchors, device=anchors.device) + rank() * num_anchors
    not_itself = functional.one_hot(own, rivals.shape[0]) * SELF
    similarities = torch.cat([anchors @ partners.T, anchors @ rivals.T - not_itself], dim=1)
    return functional.cross_entropy(similarities / temperature, own)


def mlm_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy over masked codes.

    Args:
        logits: float32 [K, V + 5] at the K masked codes.
        labels: int64 [K].

    Returns:
        A scalar; 0 when nothing is masked, where the reference gives NaN.
    """
    total = functional.cross_entropy(logits, labels, reduction="sum")
    return total / max(labels.shape[0], 1)
