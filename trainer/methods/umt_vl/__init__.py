"""UMT, stage 2 (Li et al. 2023, arXiv 2303.16058): the student of stage 1 learns from captions as well.

Nothing here imports torch before a model is asked for, so that listing recipes stays instant.
"""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING

from vfm.trainer.methods.umt import clip_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from vfm.shards.reading.dataset import Dataset
    from vfm.trainer.forward_pass import ForwardPass
    from vfm.trainer.method import Backbone, ClipReader, Method
    from vfm.trainer.online_teacher import OpenTeacher
    from vfm.trainer.recipes.recipe import Recipe
    from vfm.trainer.video_text.captions import TextColumn
    from vfm.trainer.video_text.model import VideoTextModel

__all__ = [  # frames alone are read, as in the first stage
    "RETRIEVES_ZERO_SHOT",
    "STARTS_FROM",
    "build",
    "build_backbone",
    "build_clip_reader",
    "build_encoder",
    "build_network",
    "build_video_text",
    "build_video_text_network",
    "clip_columns",
    "forward_pass",
    "vocab_size_in",
]

STARTS_FROM = ("umt",)  # its student
RETRIEVES_ZERO_SHOT = True  # finetuning adds no weights
_EMBEDDINGS = "embeddings.word_embeddings.weight"
# Of a pretraining, and of finetuning to retrieve.
_WORDS = (f"text_encoder.bert.{_EMBEDDINGS}", f"backbone.text_encoder.{_EMBEDDINGS}")


def build(recipe: "Recipe", dataset: "Dataset", *, open_teacher: "OpenTeacher | None" = None) -> "Method":
    """Return the pretraining method of a recipe, its weights drawn from the recipe's seed.

    Args:
        recipe: a recipe of this method.
        dataset: opened with the recipe's columns; gives the teacher's features and the captions' vocabulary.
        open_teacher: makes the teacher, where it is on line.

    Raises:
        UsageError: the recipe contradicts itself, the teacher's column or the vocabulary.
    """
    from vfm.trainer.methods.umt_vl.pretrain import build_method

    return build_method(recipe, dataset, open_teacher=open_teacher)


def build_network(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "nn.Module":
    """Return the pretraining network of a recipe without a dataset, its weights still to be loaded.

    Raises:
        UsageError: the state has no heads for a teacher's features, or no words.
    """
    from vfm.trainer.methods.umt_vl.network import pretraining_network

    return pretraining_network(recipe, state, vocab_size=vocab_size_in(state))


def build_encoder(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "Backbone":
    """Return the student alone without a dataset, its weights still to be loaded.

    Raises:
        UsageError: the recipe contradicts itself.
    """
    del state
    from vfm.trainer.methods.umt_vl.encoder import encoder_of

    return encoder_of(recipe)


def build_backbone(recipe: "Recipe", dataset: "Dataset") -> "Backbone":
    """Return the student alone, its weights drawn from the recipe's seed, for nearest neighbours."""
    del dataset
    from vfm.trainer.methods.umt_vl.encoder import build_encoder

    return build_encoder(recipe)


def build_clip_reader(recipe: "Recipe", dataset: "Dataset | None") -> "ClipReader":
    """Return what reads the clips that the student takes: whole frames, made square."""
    del dataset
    from vfm.trainer.methods.umt_vl.encoder import clip_reader

    return clip_reader(recipe)


def forward_pass(recipe: "Recipe") -> "ForwardPass":
    """Return one clip's pass through the network of a recipe, weights not drawn, as training runs it.

    Raises:
        UsageError: the recipe contradicts itself.
    """
    from vfm.trainer.methods.umt_vl.cost import forward_pass

    return forward_pass(recipe)


def build_video_text(recipe: "Recipe", column: "TextColumn") -> "VideoTextModel":
    """Return the encoders of a recipe of finetuning, and what joins them, drawn from the recipe's seed.

    Raises:
        UsageError: the recipe contradicts itself.
    """
    from vfm.trainer.methods.umt_vl.finetuned import build_video_text

    return build_video_text(recipe, column)


def build_video_text_network(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "VideoTextModel":
    """Return the same network without a dataset, its weights still to be loaded.

    Raises:
        UsageError: the recipe contradicts itself, or the state has no words.
    """
    from vfm.trainer.methods.umt_vl.finetuned import Retriever

    return Retriever(recipe, vocab_size=vocab_size_in(state))


def vocab_size_in(state: "Mapping[str, Tensor]") -> int:
    """Return how many words the weights of a pretraining, or of finetuning to retrieve, know.

    Raises:
        UsageError: they know none.
    """
    from vfm.trainer.video_text.captions import num_words_in

    return num_words_in(state, *_WORDS)
