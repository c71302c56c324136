"""One clip through a method's network, as training runs it: what its cost is counted by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vfm.trainer.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPass:
    """A network and one forward pass of it.

    Attributes:
        network: whose weights are not drawn.
        run: passes one blank clip through it, made on torch's default device.
        clip: what the clip is, in words: ``8 frames of 224 x 224 pixels``.
        notes: what else is counted, or taken for granted where data decide, each a clause.
    """

    network: nn.Module
    run: Callable[[], object]
    clip: str
    notes: tuple[str, ...] = ()


def of_pixels(recipe: Recipe) -> str:
    """Return what a clip of frames is, in words."""
    side = recipe.model.frame_px
    return f"{recipe.data.clip_len} frames of {side} x {side} pixels"


def blank_clips(recipe: Recipe) -> Tensor:
    """Return one normalized clip of a network of frames, float [1, 3, T, S, S]."""
    side = recipe.model.frame_px
    return torch.zeros(1, 3, recipe.data.clip_len, side, side)


def finetuning_pass(
    recipe: Recipe, network: nn.Module, *, features: Callable[[Mapping[str, Tensor]], Tensor]
) -> ForwardPass:
    """Return the pass of an encoder of frames in finetuning.

    Args:
        recipe: of finetuning.
        network: the encoder.
        features: its method of that name.
    """
    side = recipe.model.frame_px

    def run() -> Tensor:
        clip = torch.zeros(1, recipe.data.clip_len, side, side, 3, dtype=torch.uint8)
        return features({"clip": clip})

    return ForwardPass(network=network, run=run, clip=of_pixels(recipe))
