"""Learns from two columns: tells from the frames of a clip what ``seen`` has stored of each of them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from vfm.shards.reading.dataset import Dataset
    from vfm.trainer.data.clips import PixelReader
    from vfm.trainer.forward_pass import ForwardPass
    from vfm.trainer.method import Backbone, Method
    from vfm.trainer.online_teacher import OpenTeacher
    from vfm.trainer.recipes.recipe import Recipe


def build(recipe: "Recipe", dataset: "Dataset", *, open_teacher: "OpenTeacher | None" = None) -> "Method":
    del open_teacher
    from vfm.trainer.methods.paired.pretrain import Paired

    return Paired(recipe, dataset)


def build_network(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "nn.Module":
    from vfm.trainer.methods.paired.pretrain import Network

    del state
    return Network(recipe)


def build_encoder(recipe: "Recipe", state: "Mapping[str, Tensor]") -> "Backbone":
    from vfm.trainer.methods.paired.pretrain import Encoder

    del state
    return Encoder(recipe)


def forward_pass(recipe: "Recipe") -> "ForwardPass":
    from vfm.trainer.forward_pass import finetuning_pass
    from vfm.trainer.methods.paired.pretrain import Encoder

    encoder = Encoder(recipe)
    return finetuning_pass(recipe, encoder, features=encoder.features)


def clip_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in columns if name == "frames")


def build_backbone(recipe: "Recipe", dataset: "Dataset") -> "Backbone":
    from vfm.trainer.methods.paired.pretrain import Encoder

    del dataset
    return Encoder(recipe)


def build_clip_reader(recipe: "Recipe", dataset: "Dataset | None") -> "PixelReader":
    from vfm.shards.pixels.views import centre
    from vfm.trainer.data.clips import PixelReader

    del dataset
    return PixelReader(view=centre(recipe.model.frame_px))
