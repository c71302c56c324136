"""Tiny weights under the names of other projects, and what is no weights."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.fit import shapes_of

# What tells the sizes that come from data.
_SIZES = {
    "clip_decoder.0.head.weight": 8,
    "vision_encoder.clip_decoder.0.head.weight": 8,
    "text_encoder.bert.embeddings.word_embeddings.weight": 11,
    "backbone.text_encoder.embeddings.word_embeddings.weight": 11,
    "text_embeddings.word_embeddings.weight": 11,
    "backbone.text_encoder.text_embeddings.word_embeddings.weight": 11,
    "backbone.embedding.weight": 13,
    "backbone.positional_embedding.height_pos_embedding": 4,
    "backbone.positional_embedding.width_pos_embedding": 4,
}


def random_state(recipe: Recipe, *, num_classes: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Return a state of the recipe's network, its numbers drawn."""
    generator = torch.Generator().manual_seed(seed)
    rows = {"cls_fc.weight": num_classes, **_SIZES}
    shapes = shapes_of(recipe, {name: torch.empty(number, 0) for name, number in rows.items()})
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


class MakesFolder:
    """What a hostile pickle holds: something to call when it is read, which makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)
