"""VIMPAC (Tan et al. 2021, arXiv 2106.11250): masked codes and contrast between clips.

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
        dataset: opened with the recipe's columns; gives the vocabulary and the grid.
        open_teacher: not wanted here.

    Raises:
        UsageError: the recipe contradicts the data.
    """
    del open_teacher
    from vfm.trainer.methods.vimpac.pretrain import build_method

    return build_method(recipe, dataset)


def build_network(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "nn.Module":
    """Return the pretraining network of a recipe without a dataset, its weights still to be loaded.

    Raises:
        UsageError: the recipe contradicts the state, or this tells no codes.
    """
    from vfm.trainer.methods.vimpac.network import PretrainingNetwork, config_of

    return PretrainingNetwork(config_of(recipe, state))


def build_encoder(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "Backbone":
    """Return the encoder alone without a dataset, its weights still to be loaded.

    Raises:
        UsageError: the recipe contradicts the state, or this tells no codes.
    """
    from vfm.trainer.methods.vimpac.model import VimpacBackbone
    from vfm.trainer.methods.vimpac.network import config_of

    return VimpacBackbone(config_of(recipe, state))


def forward_pass(recipe: "Recipe") -> "ForwardPass":
    """Return one clip's pass through the network of a recipe, weights not drawn, as training runs it.

    Raises:
        UsageError: the recipe contradicts itself.
    """
    from vfm.trainer.methods.vimpac.network import forward_pass

    return forward_pass(recipe)


def clip_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of a recipe's columns the encoder's clips are read from: the codes."""
    return columns


def build_backbone(recipe: "Recipe", dataset: "Dataset") -> "Backbone":
    """Return the encoder alone, for finetuning and nearest neighbours; see `build`."""
    from vfm.trainer.methods.vimpac.pretrain import build_encoder

    return build_encoder(recipe, dataset)


def build_clip_reader(recipe: "Recipe", dataset: "Dataset | None") -> "ClipReader":
    """Return what reads the clips that `build_backbone`'s encoder takes."""
    from vfm.trainer.methods.vimpac.reader import read_clips

    assert dataset is not None, "codes come from datasets"
    return read_clips(recipe, dataset)
