"""One clip and its caption through SimVTP's network, for what it costs."""

import numpy as np
import torch
from torch import Tensor

from vfm.trainer.data.masks import tube_mask
from vfm.trainer.forward_pass import ForwardPass, blank_clips, finetuning_pass, of_pixels
from vfm.trainer.methods.simvtp.finetuned import DualEncoder
from vfm.trainer.methods.simvtp.network import SimvtpNetwork
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import VitBackbone, vit_config

_VOCAB_SIZE, _NUM_IDS = 30522, 32  # BERT's vocabulary; captions of WebVid have about twelve words


def forward_pass(recipe: Recipe) -> ForwardPass:
    """Return the pass of a recipe: of clip and caption together in pretraining, or of what a task asks of."""
    if recipe.task is None:
        return _pretraining_pass(recipe)
    if recipe.task == "retrieve":
        return _retrieving_pass(recipe)
    encoder = VitBackbone(vit_config(recipe, tubelet=recipe.model.tubelet))
    return finetuning_pass(recipe, encoder, features=encoder.features)


def _retrieving_pass(recipe: Recipe) -> ForwardPass:
    """Return the pass of a clip and a caption through their encoders."""
    num_ids = min(_NUM_IDS, recipe.objective.max_ids)
    network = DualEncoder(recipe, vocab_size=_VOCAB_SIZE)

    def run() -> list[Tensor]:
        ids, is_text = torch.zeros(1, num_ids, dtype=torch.int64), torch.ones(1, num_ids, dtype=torch.bool)
        return [network.video_encoder(blank_clips(recipe)), network.text_vectors(ids, is_text)]

    notes = (f"a caption of {num_ids} ids of {_VOCAB_SIZE}",)
    return ForwardPass(network=network, run=run, clip=of_pixels(recipe), notes=notes)


def _pretraining_pass(recipe: Recipe) -> ForwardPass:
    """Return the pass of clip alone, caption alone, both together, and of the caption with another clip."""
    model, num_ids = recipe.model, min(_NUM_IDS, recipe.objective.max_ids)
    network = SimvtpNetwork(recipe, vocab_size=_VOCAB_SIZE)
    is_hidden = tube_mask(
        num_times=recipe.data.clip_len // model.tubelet,
        num_cells=model.cells_per_frame,
        ratio=recipe.objective.mask_ratio,
        rng=np.random.default_rng(0),
    )
    num_tokens, num_visible = is_hidden.size, int((~is_hidden).sum())
    num_hidden_words = round(recipe.objective.word_ratio * num_ids)

    def run() -> list[Tensor]:
        visible, hidden = torch.arange(num_tokens)[None].tensor_split([num_visible], dim=1)
        is_text = torch.ones(1, num_ids, dtype=torch.bool)
        video = network.encoder.embed(blank_clips(recipe), visible=visible)
        words = network.text_embeddings(torch.zeros(1, num_ids, dtype=torch.int64))
        joint = network.joint(video.repeat(2, 1, 1), words.repeat(2, 1, 1), is_text.repeat(2, 1))
        return [
            network.video_features(video),
            network.text_features(words, is_text),
            network.match_logits(joint, is_text.repeat(2, 1)),
            network.decode(joint[:1, :num_visible], visible=visible, hidden=hidden),
            network.text_cls(joint[:1, num_visible : num_visible + num_hidden_words]),
        ]

    notes = (
        f"{num_visible} of {num_tokens} tokens visible to the encoder",
        f"a caption of {num_ids} ids of {_VOCAB_SIZE}",
        "with another clip for matching",
        "with the decoder",
    )
    return ForwardPass(network=network, run=run, clip=of_pixels(recipe), notes=notes)
