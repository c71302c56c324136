"""UMT's encoder as it is finetuned and tested: its table of positions, and the pixels that it sees."""

from vfm.shards.pixels.spread_crops import spread_crops, three_crops
from vfm.shards.pixels.views import centre
from vfm.trainer.data.clips import PixelReader
from vfm.trainer.data.normalize import IMAGENET, SLOWFAST
from vfm.trainer.models.pooled_vit import umt_positions
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import Input, VitBackbone, build_backbone, vit_config

_NORMALIZATIONS = {"umt": IMAGENET, "mmaction2": SLOWFAST}
_CUTS = {"umt": spread_crops, "mmaction2": three_crops}


def build_encoder(recipe: Recipe) -> VitBackbone:
    """Return the encoder alone, its weights drawn from the recipe's seed."""
    return build_backbone(vit_config(recipe, tubelet=1), seed=recipe.train.seed, read=_input(recipe))


def encoder_of(recipe: Recipe) -> VitBackbone:
    """Return the encoder alone, its weights not drawn."""
    return VitBackbone(vit_config(recipe, tubelet=1), read=_input(recipe))


def _input(recipe: Recipe) -> Input:
    config, model = vit_config(recipe, tubelet=1), recipe.model
    positions, keeps = umt_positions(config, pretrained_grid=model.pretrained_grid or config.grid)
    normalization = _NORMALIZATIONS[model.views]
    return Input(positions=positions, keeps_positions=keeps, normalization=normalization)


def clip_reader(recipe: Recipe) -> PixelReader:
    """Return what reads the clips that the encoder takes.

    Squares of a test are cut as published, from stored frames: where these are not as large as those of the
    video they were resized before, which the published tests, who decode anew, have not done.
    """
    return PixelReader(view=centre(recipe.model.image_px), cut=_CUTS[recipe.model.views])
