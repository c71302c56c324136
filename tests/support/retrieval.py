"""A small retrieval, worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from support.results import small_fields
from vfm.trainer.evaluation.retrieval.places import places_of_texts, places_of_videos
from vfm.trainer.evaluation.retrieval.result import Rankings, RetrievalResult, ranked
from vfm.trainer.methods.umt_vl.network import UmtVlNetwork
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.video_text.model import MatchingModel
from vfm.trainer.weights.about import AboutWeights
from vfm.trainer.weights.files import write_weights

_MATCHING = (
    *("model.image_px=32", "model.depth=2", "model.num_levels=1", "model.text_depth=2"),
    *("model.fusion_layer=1", "data.stride=1"),
)
SIMILARITY = np.array([[0.5, 0.25], [0.25, 0.75], [1.0, 0.5]], np.float32)


class ToyPairs(MatchingModel):
    """Sees the mean colour of frames and looks up a colour of words.

    The nearer the colours of a clip and a caption, the better they match; vectors tell the direction alone.
    """

    dim = 3

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.colours = nn.Parameter(torch.rand(32, 3, generator=generator))

    def video_tokens(self, batch: Any) -> torch.Tensor:
        """Return the mean colour of each frame, [B, T, 3]."""
        mean: torch.Tensor = batch["clip"].float().mean((2, 3)) / 255
        return mean

    def video_vectors(self, batch: Any) -> torch.Tensor:
        """Return the mean colour."""
        return self.video_tokens(batch).mean(1)

    def text_tokens(self, ids: torch.Tensor, is_text: torch.Tensor) -> torch.Tensor:
        """Return the colour of each word, and of padding one that must not count."""
        return torch.where(is_text[..., None], self.colours[ids], torch.nan)

    def text_vectors(self, ids: torch.Tensor, is_text: torch.Tensor) -> torch.Tensor:
        """Return the mean colour of words."""
        return _mean(self.text_tokens(ids, is_text), is_text)

    def match_logits(
        self, read: torch.Tensor, is_text: torch.Tensor, *, tokens: torch.Tensor, which: Any = None
    ) -> torch.Tensor:
        """Return 0.5, and how near colours are, 0 where they are the same."""
        near = -(_mean(read, is_text) - tokens.mean(1)[which]).abs().sum(1)
        return torch.stack([torch.full_like(near, 0.5), near], 1)

    def load_pretrained(self, state: Any, *, start: Any = None) -> None:
        """Take colours."""
        del start
        self.load_state_dict(state)

    def no_weight_decay(self, name: str) -> bool:
        """Return that all decays."""
        del name
        return False

    def layers_above(self, name: str) -> int:
        """Return that there is one layer."""
        del name
        return 0


def _mean(text: torch.Tensor, is_text: torch.Tensor) -> torch.Tensor:
    kept = torch.where(is_text[..., None], text, 0.0)
    return kept.sum(1) / is_text.sum(1, keepdim=True)


def small_rankings() -> Rankings:
    """Return what three texts and two videos found.

    Texts 0 and 1 belong to video a, text 2 to video b, and texts 1 and 2 are the same words. Text 0 finds a
    at place 1, text 1 at 2, and text 2 finds b at 2. Video a finds text 0 at place 2 and b text 2 at 2.
    """
    own = np.array([0, 0, 1])
    return Rankings(
        keys=("a", "b"),
        texts=("a dog", "a cat", "a cat"),
        video_of_text=own,
        text_to_video=places_of_texts(SIMILARITY, video_of_text=own),
        video_to_text=places_of_videos(SIMILARITY, video_of_text=own),
    )


def small_result(**changes: Any) -> RetrievalResult:
    """Return the result of `small_rankings`, with changes."""
    result = RetrievalResult(
        **small_fields(num_missing=1),
        dual_softmax=None,
        rerank=None,
        is_zero_shot=False,
        captions="each",
        num_without_caption=4,
        **ranked(small_rankings()),
    )
    return replace(result, **changes)


def write_matching(path: Path, settings: Sequence[str], *, vocab_size: int) -> Path:
    """Write random weights of a small pretraining of UMT's second stage, which has a matching head.

    Args:
        path: a file of safetensors.
        settings: of the recipe, beside those that make it small.
        vocab_size: words.
    """
    recipe = override(load_recipe("umt-vl-tiny"), [*_MATCHING, *settings])
    network = UmtVlNetwork(recipe, teacher_dim=8, vocab_size=vocab_size)
    network.initialize(torch.Generator().manual_seed(0))
    about = AboutWeights(recipe=recipe, made_from="vfm").to_metadata()
    write_weights(path, network.state_dict(), container="", metadata=about)
    return path
