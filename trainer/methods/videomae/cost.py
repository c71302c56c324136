"""One clip through VideoMAE's network, for what it costs."""

import numpy as np
import torch
from torch import Tensor

from vfm.trainer.data.masks import tube_mask
from vfm.trainer.forward_pass import ForwardPass, blank_clips, finetuning_pass, of_pixels
from vfm.trainer.methods.videomae.pretrain import pretraining_network
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import VitBackbone, vit_config


def forward_pass(recipe: Recipe) -> ForwardPass:
    """Return the pass of visible tokens and decoder in pretraining, of all tokens in finetuning."""
    model = recipe.model
    if recipe.task is not None:
        encoder = VitBackbone(vit_config(recipe, tubelet=model.tubelet))
        return finetuning_pass(recipe, encoder, features=encoder.features)
    network = pretraining_network(recipe)
    is_hidden = tube_mask(
        num_times=recipe.data.clip_len // model.tubelet,
        num_cells=model.cells_per_frame,
        ratio=recipe.objective.mask_ratio,
        rng=np.random.default_rng(0),
    )
    num_tokens, num_visible = is_hidden.size, int((~is_hidden).sum())

    def run() -> Tensor:
        visible, hidden = torch.arange(num_tokens)[None].tensor_split([num_visible], dim=1)
        return network.reconstruct_tokens(blank_clips(recipe), visible=visible, hidden=hidden)

    notes = (f"{num_visible} of {num_tokens} tokens visible to the encoder", "with the decoder")
    return ForwardPass(network=network, run=run, clip=of_pixels(recipe), notes=notes)
