"""The network of VIMPAC without its loss, for a recipe and sizes that a state or the paper tells."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.trainer.forward_pass import ForwardPass
from vfm.trainer.methods.vimpac.heads import ClsHead, MlmHead
from vfm.trainer.methods.vimpac.mask import draw_mask
from vfm.trainer.methods.vimpac.model import NUM_SPECIAL, VimpacBackbone
from vfm.trainer.methods.vimpac.recipe import ModelConfig, resolve
from vfm.trainer.recipes.recipe import Recipe

_PREFIX = "backbone."
_TABLES = f"{_PREFIX}positional_embedding."
# DALL-E's tokenizer, which the paper takes: its codes, and the side of what one stands for.
_VOCAB_SIZE, _CODE_PX, _FRAME_PX = 8192, 8, 128
_NUM_DRAWS = 200  # masks, of whose sizes the mean is taken


class PretrainingNetwork(nn.Module):
    """Backbone, code head and clip head under the keys of an official checkpoint.

    Args:
        config: a resolved model configuration.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.backbone = VimpacBackbone(config)
        self.mlm_head = MlmHead(self.backbone.embedding)
        self.cls_head = ClsHead(config)


def config_of(recipe: Recipe, state: Mapping[str, Tensor]) -> ModelConfig:
    """Return the model of a recipe, with what it leaves to the data as a state tells it.

    Raises:
        UsageError: the state has no table of codes or of their places, or others than the recipe says.
    """
    rows = _num_rows(state, f"{_PREFIX}embedding.weight")
    grid = _grid(recipe, state)
    return resolve(recipe.model, vocab_size=rows - NUM_SPECIAL, clip_len=recipe.data.clip_len, grid=grid)


def _grid(recipe: Recipe, state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return rows and columns of a frame's codes; of one table for all, the recipe's or a square's."""
    if recipe.model.pos_emb == "hw_separation":
        rows, columns = (_num_rows(state, f"{_TABLES}{axis}_pos_embedding") for axis in ("height", "width"))
        return rows, columns
    if recipe.model.grid_height is not None and recipe.model.grid_width is not None:
        return recipe.model.grid_height, recipe.model.grid_width
    if recipe.model.pos_emb == "temporal_separation":
        side = math.isqrt(_num_rows(state, f"{_TABLES}spatial_pos_embedding"))
    else:
        num_tokens = _num_rows(state, f"{_TABLES}positional_embedding") - 1
        side = math.isqrt(num_tokens // recipe.data.clip_len)
    return side, side


def _num_rows(state: Mapping[str, Tensor], name: str) -> int:
    if name not in state:
        raise UsageError(f"The weights have no {name}, whose rows tell a size of VIMPAC's network.")
    return len(state[name])


def forward_pass(recipe: Recipe) -> ForwardPass:
    """Return the pass of one clip; a sample of pretraining has two."""
    config = _resolved(recipe)
    shape = (recipe.data.clip_len, config.grid_height or 0, config.grid_width or 0)
    clip = f"{shape[0]} frames of {shape[1]} x {shape[2]} codes"
    vocabulary = f"a codebook of {config.vocab_size} codes"
    if recipe.task is not None:
        return _finetuning_pass(VimpacBackbone(config), shape, clip=clip, notes=(vocabulary,))
    network = PretrainingNetwork(config)
    num_masked = _mean_masked(recipe, shape)

    def run() -> tuple[Tensor, Tensor]:
        codes, encoder, head = torch.zeros(1, *shape, dtype=torch.int64), network.backbone, network.mlm_head
        rows = torch.cat([encoder.cls_rows(codes), encoder.code_rows(torch.arange(num_masked))])
        cls, hidden = encoder.encode(codes, rows=rows, has_pad=False).tensor_split([1])
        # The head's own forward switches autocast off, which there is none of on the device meta.
        return head.decoder(head.transform(hidden)), network.cls_head(cls)

    notes = (f"{num_masked} codes predicted", vocabulary, "a sample has two clips")
    return ForwardPass(network=network, run=run, clip=clip, notes=notes)


def _finetuning_pass(
    encoder: VimpacBackbone, shape: tuple[int, int, int], *, clip: str, notes: tuple[str, ...]
) -> ForwardPass:
    def run() -> Tensor:
        codes = torch.zeros(1, *shape, dtype=torch.int64)
        return encoder.encode(codes, rows=encoder.cls_rows(codes), has_pad=False)

    return ForwardPass(network=encoder, run=run, clip=clip, notes=notes)


def _resolved(recipe: Recipe) -> ModelConfig:
    """Return the model with what it leaves to the data as the paper has it."""
    model = recipe.model
    side = (_FRAME_PX if model.frame_px == "any" else model.frame_px) // _CODE_PX
    return resolve(
        model,
        vocab_size=model.vocab_size or _VOCAB_SIZE,
        clip_len=recipe.data.clip_len,
        grid=(model.grid_height or side, model.grid_width or side),
    )


def _mean_masked(recipe: Recipe, shape: tuple[int, int, int]) -> int:
    rng, num_blocks = np.random.default_rng(0), recipe.objective.mask_blocks
    masks = (draw_mask(shape, num_blocks=num_blocks, rng=rng) for _ in range(_NUM_DRAWS))
    return round(float(np.mean([mask.sum() for mask in masks])))
