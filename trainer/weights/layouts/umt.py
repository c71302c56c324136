"""UMT (`OpenGVLab/unmasked_teacher`, both stages): its names are those of vfm's networks."""

from collections.abc import Sequence
from functools import partial

import torch

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.files import State
from vfm.trainer.weights.layout import Layout, Renamed, Tied, classifier_names, sizes_from
from vfm.trainer.weights.options import Options

_PRETRAINED_TEXT, _FINETUNED_TEXT = "text_encoder.bert.", "text_encoder."
_WORDS = "embeddings.word_embeddings.weight"
_GUESSES = "text_encoder.cls.predictions."


def _sizes(options: Options) -> Sequence[str]:
    """Return what the arguments of the training script tell that no shape does."""
    return sizes_from(options, {"model.image_px": "input_size"})


def _numbers(text: str, recipe: Recipe) -> State:
    """Return the numbers of positions, which the project's BERT keeps among its weights."""
    return {f"{text}embeddings.position_ids": torch.arange(recipe.model.text_positions)[None]}


LAYOUTS = (
    Layout(
        name="umt",
        method="umt",
        task=None,
        container="model",
        marks=("encoder.patch_embed.proj.weight", "encoder.norm.weight", "clip_decoder.0.head.weight"),
        sizes=_sizes,
    ),
    Layout(
        name="umt",
        method="umt",
        task="classify",
        container="model",
        marks=("patch_embed.proj.weight", "blocks.0.attn.q_bias", "fc_norm.weight", "head.weight"),
        renamed=classifier_names,
        sizes=_sizes,
        settings=("model.views=umt",),
    ),
    Layout(
        name="umt",
        method="umt_vl",
        task=None,
        container="model",
        marks=(
            "vision_encoder.encoder.patch_embed.proj.weight",
            "vision_encoder.clip_decoder.0.head.weight",
            f"{_PRETRAINED_TEXT}{_WORDS}",
            f"{_GUESSES}bias",
        ),
        # Words are guessed by their own vectors.
        tied=(
            Tied(ours=f"{_PRETRAINED_TEXT}{_WORDS}", theirs=f"{_GUESSES}decoder.weight"),
            Tied(ours=f"{_GUESSES}bias", theirs=f"{_GUESSES}decoder.bias"),
        ),
        constants=partial(_numbers, _PRETRAINED_TEXT),
        spared=("clip_teacher.",),
    ),
    Layout(
        name="umt",
        method="umt_vl",
        task="retrieve",
        container="model",
        marks=(
            "vision_encoder.encoder.patch_embed.proj.weight",
            "vision_encoder.pool_norm.weight",
            f"{_FINETUNED_TEXT}{_WORDS}",
        ),
        renamed=lambda _recipe: (Renamed(theirs="", ours="backbone."),),
        constants=partial(_numbers, _FINETUNED_TEXT),
        foreign={"text_decoder.": "a decoder that answers questions"},
    ),
)
