"""SimVTP (Ma et al. 2022, arXiv 2212.03490): reconstruct hidden tubelets and words of videos and captions.

Nothing here imports torch before a model is asked for, so that listing recipes stays instant.
"""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING

from vfm.trainer.methods.videomae import build_backbone, build_clip_reader, build_encoder, clip_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from vfm.shards.reading.dataset import Dataset
    from vfm.trainer.forward_pass import ForwardPass
    from vfm.trainer.method import Method
    from vfm.trainer.online_teacher import OpenTeacher
    from vfm.trainer.recipes.recipe import Recipe
    from vfm.trainer.video_text.captions import TextColumn
    from vfm.trainer.video_text.model import VideoTextModel

__all__ = [  # clips are read and encoded as VideoMAE does
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

STARTS_FROM = ("videomae",)  # its encoder and decoder are VideoMAE's
# Of a pretraining, and of finetuning to retrieve, whose other encoder has as many.
_WORDS = tuple(f"{prefix}text_embeddings.word_embeddings.weight" for prefix in ("", "backbone.text_encoder."))


def build(recipe: "Recipe", dataset: "Dataset", *, open_teacher: "OpenTeacher | None" = None) -> "Method":
    """Return the pretraining method of a recipe, its weights drawn from the recipe's seed.

    Raises:
        UsageError: the recipe contradicts itself, or the dataset's vocabulary.
    """
    del open_teacher
    from vfm.trainer.methods.simvtp.pretrain import build_method

    return build_method(recipe, dataset)


def build_network(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "nn.Module":
    """Return the pretraining network of a recipe without a dataset, its weights still to be loaded.

    Raises:
        UsageError: the recipe contradicts itself, or the state has no words.
    """
    from vfm.trainer.methods.simvtp.network import SimvtpNetwork

    return SimvtpNetwork(recipe, vocab_size=vocab_size_in(state))


def forward_pass(recipe: "Recipe") -> "ForwardPass":
    """Return one clip's pass through the network of a recipe, weights not drawn, as training runs it.

    Raises:
        UsageError: the recipe contradicts itself.
    """
    from vfm.trainer.methods.simvtp.cost import forward_pass

    return forward_pass(recipe)


def build_video_text(recipe: "Recipe", column: "TextColumn") -> "VideoTextModel":
    """Return the encoders of clips and captions of a recipe of finetuning, drawn from the recipe's seed.

    Raises:
        UsageError: the recipe contradicts itself.
    """
    from vfm.trainer.methods.simvtp.finetuned import build_video_text

    return build_video_text(recipe, column)


def build_video_text_network(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "VideoTextModel":
    """Return the same encoders without a dataset, their weights still to be loaded.

    Raises:
        UsageError: the recipe contradicts itself, or the state has no words.
    """
    from vfm.trainer.methods.simvtp.finetuned import DualEncoder

    return DualEncoder(recipe, vocab_size=vocab_size_in(state))


def vocab_size_in(state: "Mapping[str, Tensor]") -> int:
    """Return how many words the weights of a pretraining, or of finetuning to retrieve, know.

    Raises:
        UsageError: they know none.
    """
    from vfm.trainer.video_text.captions import num_words_in

    return num_words_in(state, *_WORDS)
