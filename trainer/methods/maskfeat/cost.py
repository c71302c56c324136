"""One clip through MaskFeat's network, for what it costs."""

import math

import torch
from torch import Tensor

from vfm.trainer.forward_pass import ForwardPass, blank_clips, finetuning_pass, of_pixels
from vfm.trainer.methods.maskfeat.backbone import encoder_of
from vfm.trainer.methods.maskfeat.pretrain import pretraining_network
from vfm.trainer.methods.maskfeat.recipe import CELL_PX
from vfm.trainer.models.mvit import STEM_FRAMES
from vfm.trainer.recipes.recipe import Recipe


def forward_pass(recipe: Recipe) -> ForwardPass:
    """Return the pass of all tokens: in pretraining, hidden ones go through the encoder too."""
    if recipe.task is not None:
        encoder = encoder_of(recipe)
        return finetuning_pass(recipe, encoder, features=encoder.features)
    network = pretraining_network(recipe)
    num_hidden = int(recipe.objective.mask_ratio * math.prod(network.config.grid))
    side = recipe.model.image_px // CELL_PX

    def run() -> Tensor:
        is_hidden = torch.zeros(1, recipe.data.clip_len // STEM_FRAMES, side, side, dtype=torch.bool)
        return network.predict(blank_clips(recipe), is_hidden, which=torch.arange(num_hidden))

    notes = (f"HOG predicted for {num_hidden} tokens", "without computing the HOG to predict")
    return ForwardPass(network=network, run=run, clip=of_pixels(recipe), notes=notes)
