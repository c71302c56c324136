"""UMT, stage 1 (Li et al. 2023, arXiv 2303.16058): match a teacher of images at the visible tokens of a clip.

Nothing here imports torch before a model is asked for, so that listing recipes stays instant.
"""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from vfm.shards.reading.dataset import Dataset
    from vfm.trainer.forward_pass import ForwardPass
    from vfm.trainer.method import Backbone, ClipReader, Method
    from vfm.trainer.online_teacher import OpenTeacher
    from vfm.trainer.recipes.recipe import Recipe


def build(recipe: "Recipe", dataset: "Dataset", *, open_teacher: "OpenTeacher | None" = None) -> "Method":
    """Return the pretraining method of a recipe, its weights drawn from the recipe's seed.

    Args:
        recipe: a recipe of this method.
        dataset: opened with the recipe's columns; gives the teacher's features and their shape.
        open_teacher: makes the teacher, where it is on line.

    Raises:
        UsageError: the recipe contradicts itself or the teacher's column.
    """
    from vfm.trainer.methods.umt.pretrain import build_method

    return build_method(recipe, dataset, open_teacher=open_teacher)


def build_network(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "nn.Module":
    """Return the pretraining network of a recipe without a dataset, its weights still to be loaded.

    Raises:
        UsageError: the recipe contradicts itself, or the state has no heads for a teacher's features.
    """
    from vfm.trainer.methods.umt.pretrain import pretraining_network

    return pretraining_network(recipe, state)


def build_encoder(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "Backbone":
    """Return the encoder alone without a dataset, its weights still to be loaded.

    Raises:
        UsageError: the recipe contradicts itself.
    """
    del state
    from vfm.trainer.methods.umt.finetuned import encoder_of

    return encoder_of(recipe)


def forward_pass(recipe: "Recipe") -> "ForwardPass":
    """Return one clip's pass through the network of a recipe, weights not drawn, as training runs it.

    Raises:
        UsageError: the recipe contradicts itself.
    """
    from vfm.trainer.methods.umt.cost import forward_pass

    return forward_pass(recipe)


def clip_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of a recipe's columns the encoder's clips are read from: the frames."""
    return tuple(name for name in columns if name == "frames")


def build_backbone(recipe: "Recipe", dataset: "Dataset") -> "Backbone":
    """Return the encoder alone, for finetuning and nearest neighbours; see `build`."""
    del dataset
    from vfm.trainer.methods.umt.finetuned import build_encoder

    return build_encoder(recipe)


def build_clip_reader(recipe: "Recipe", dataset: "Dataset | None") -> "ClipReader":
    """Return what reads the clips that `build_backbone`'s encoder takes."""
    del dataset
    from vfm.trainer.methods.umt.finetuned import clip_reader

    return clip_reader(recipe)
