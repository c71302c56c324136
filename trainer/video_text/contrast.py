"""Videos and captions that find each other among those of a batch: the contrastive loss, and negatives."""

import torch
from torch import Tensor
from torch.nn import functional

from vfm.shards.errors import UsageError
from vfm.trainer.gather import gather_rows, is_distributed, rank
from vfm.trainer.recipes.recipe import Recipe

_NORM_FLOOR = 1e-8
NO_NEGATIVE = -1


def check_contrast(recipe: Recipe) -> None:
    """Refuse a recipe by which a video could be told from itself, or from nothing.

    Raises:
        UsageError: the first, the second, or captions may be longer than the network reads.
    """
    config, positions = recipe.train, recipe.model.text_positions
    if recipe.objective.max_ids > positions:
        raise UsageError(
            f"objective.max_ids is {recipe.objective.max_ids} and model.text_positions {positions}, which "
            f"is all that the network reads: add `--set objective.max_ids={positions}`."
        )
    if not config.drop_last:
        raise UsageError(
            "train.drop_last is false, so that a batch across two epochs can hold a video twice, which would "
            "be told from itself: leave train.drop_last true."
        )
    for name in ("batch_size", "micro_batch_size"):
        if getattr(config, name) == 1:
            raise UsageError(
                f"train.{name} is 1, and a caption is told from others of its batch: set it to 2 or more."
            )


def unit(vectors: Tensor) -> Tensor:
    """Return vectors [..., D] of length 1, in float32; one shorter than 1e-8 is divided by that."""
    return functional.normalize(vectors.float(), dim=-1, eps=_NORM_FLOOR)


def contrast_loss(
    text: Tensor, video: Tensor, *, temperature: float, caption_ids: Tensor, across_ranks: bool = False
) -> Tensor:
    """Contrast each caption with all videos and each video with all captions; both directions are added.

    Radford et al. 2021, arXiv 2103.00020, figure 3, without the halving; as SimVTP's code has it.

    Args:
        text: float [B, D], of this rank's captions.
        video: float [B, D], of the videos that these belong to.
        temperature: divides the cosines.
        caption_ids: int64 [B]; where two are equal the captions are, and neither is held against the other.
        across_ranks: whether those of all ranks are told apart, not those of each by itself.

    Returns:
        A float32 scalar, the mean over this rank's pairs.

    Raises:
        UsageError: there is one pair in all, whose loss would be 0 whatever the vectors are.
    """
    with torch.autocast(text.device.type, enabled=False):
        text, video = unit(text), unit(video)
        is_gathered = across_ranks and is_distributed()
        texts, videos = (gather_rows(text), gather_rows(video)) if is_gathered else (text, video)
        ids = gather_rows(caption_ids) if is_gathered else caption_ids
        if len(texts) < 2:
            raise UsageError(
                "A micro-batch of one video has no other caption to tell from its own: set "
                "train.micro_batch_size, or train.batch_size per rank, to 2 or more."
            )
        own = torch.arange(len(text), device=text.device) + len(text) * (rank() if is_gathered else 0)
        is_same = caption_ids[:, None] == ids[None]
        is_same[torch.arange(len(text), device=text.device), own] = False
        found = [
            functional.cross_entropy((rows @ others.T / temperature).masked_fill(is_same, -torch.inf), own)
            for rows, others in ((text, videos), (video, texts))
        ]
        return found[0] + found[1]


def soft_contrast_loss(
    text: Tensor, video: Tensor, *, temperature: Tensor, caption_ids: Tensor, across_ranks: bool
) -> Tensor:
    """Contrast captions and videos where several may be right, as UMT's second stage does.

    Pairs of equal captions share what a caption, or a video, is to be sure of. The mean of both directions.

    Args:
        text: float [B, D], of this rank's captions, of length 1.
        video: float [B, D], of the videos that these belong to: of length 1, or a mean of such.
        temperature: divides the products, a scalar that may be learned.
        caption_ids: int64 [B], equal where captions are.
        across_ranks: whether those of all ranks are told apart, not those of each by itself.

    Returns:
        A float32 scalar, the mean over this rank's pairs.
    """
    with torch.autocast(text.device.type, enabled=False):
        text, video = text.float(), video.float()
        is_gathered = across_ranks and is_distributed()
        texts, videos = (gather_rows(text), gather_rows(video)) if is_gathered else (text, video)
        ids = gather_rows(caption_ids) if is_gathered else caption_ids
        is_right = (caption_ids[:, None] == ids[None]).float()
        wanted = is_right / is_right.sum(1, keepdim=True)
        found = [
            functional.cross_entropy(rows @ others.T / temperature, wanted)
            for rows, others in ((text, videos), (video, texts))
        ]
        return (found[0] + found[1]) / 2


def draw_negatives(caption_ids: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return for each pair another of the batch whose caption differs, int64 [B]; -1 where there is none.

    Drawn from torch's own source of chance, which the training loop seeds for every update.

    Args:
        caption_ids: int64 [B], see `contrast_loss`.
        weights: float [B, B], how likely each is drawn for each, 0 or more; None makes all alike.
    """
    allowed = (caption_ids[:, None] != caption_ids[None]).float()
    # A weight that underflows to 0 must not shut out the only other pair.
    weighted = allowed if weights is None else allowed * weights.detach().float().clamp_min(1e-12)
    has_any = allowed.any(dim=1)
    drawn = torch.multinomial(torch.where(has_any[:, None], weighted, 1.0), 1)[:, 0]
    return torch.where(has_any, drawn, NO_NEGATIVE)
