"""The network of VIMPAC without its loss, for a recipe and sizes that a state tells."""

import math
from collections.abc import Mapping

from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.trainer.methods.vimpac.heads import ClsHead, MlmHead
from vfm.trainer.methods.vimpac.model import NUM_SPECIAL, VimpacBackbone
from vfm.trainer.methods.vimpac.recipe import ModelConfig, resolve
from vfm.trainer.recipes.recipe import Recipe

_PREFIX = "backbone."
_TABLES = f"{_PREFIX}positional_embedding."


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
