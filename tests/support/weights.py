"""Tiny weights under the names of other projects."""

import torch
from torch import Tensor

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.fit import shapes_of

# What tells the sizes that come from data.
_HEAD, _TEACHER = "cls_fc.weight", "clip_decoder.0.head.weight"


def random_state(recipe: Recipe, *, num_classes: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Return a state of the recipe's network, its numbers drawn."""
    generator = torch.Generator().manual_seed(seed)
    shapes = shapes_of(recipe, {_HEAD: torch.empty(num_classes, 0), _TEACHER: torch.empty(8, 0)})
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
