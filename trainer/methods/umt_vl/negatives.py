"""Pairs of videos and captions that belong together, and pairs that do not."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vfm.trainer.methods.umt_vl.recipe import Negatives
from vfm.trainer.video_text.captions import NOT_PREDICTED
from vfm.trainer.video_text.contrast import draw_negatives


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchPairs:
    """The pairs of B, then each caption with another video, then each video with another caption.

    Attributes:
        captions: int64 [3 B], their numbers in the batch.
        videos: int64 [3 B], the same.
        is_match: int64 [3 B], 1 and 0; -100 where there was no other.
    """

    captions: Tensor
    videos: Tensor
    is_match: Tensor


def draw_pairs(logits: Tensor, *, caption_ids: Tensor, negatives: Negatives) -> MatchPairs:
    """Return pairs of a batch, half of the wrong ones drawn for its captions and half for its videos.

    Li et al. 2021, arXiv 2107.07651, section 3.2. Equal captions are never held against each other.

    Args:
        logits: float [B, B], how well captions and videos fit, as the contrast sees it, without gradient.
        caption_ids: int64 [B], equal where captions are.
        negatives: ``hard`` draws more often what fits well, ``random`` all alike.
    """
    weights = matching_weights(logits) if negatives == "hard" else (None, None)
    videos, captions = (draw_negatives(caption_ids, weights=each) for each in weights)
    return match_pairs(videos=videos, captions=captions)


def matching_weights(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return how likely videos are drawn for captions, and captions for videos, float [B, B] each."""
    return logits.softmax(1), logits.T.softmax(1)


def match_pairs(*, videos: Tensor, captions: Tensor) -> MatchPairs:
    """Return the pairs of a batch with given wrong ones, -1 for none.

    Args:
        videos: int64 [B], for each caption another video.
        captions: int64 [B], for each video another caption.
    """
    own = torch.arange(len(videos), device=videos.device)
    wrong = [torch.where(drawn < 0, NOT_PREDICTED, 0) for drawn in (videos, captions)]
    return MatchPairs(
        captions=torch.cat([own, own, captions.clamp_min(0)]),
        videos=torch.cat([own, videos.clamp_min(0), own]),
        is_match=torch.cat([torch.ones_like(own), *wrong]),
    )
