"""UMT's first stage: the student sees a part of a clip and says of it what the teacher says."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.method import Method
from vfm.trainer.methods.umt.reader import published_crop
from vfm.trainer.methods.umt.recipe import Objective
from vfm.trainer.methods.umt.teaching import Teacher, teacher_of
from vfm.trainer.models.distillation import AlignConfig, DistilledLevels, align_loss, to_unit
from vfm.trainer.models.vit import initialize_vit
from vfm.trainer.online_teacher import OpenTeacher
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import is_vector, vit_config

_HEAD = "clip_decoder.0.head.weight"


class Umt(DistilledLevels, Method):
    """The student and its loss, under the keys of an official checkpoint.

    Args:
        recipe: the numbers.
        teacher: of the student.
    """

    def __init__(self, recipe: Recipe, *, teacher: Teacher) -> None:
        super().__init__(vit_config(recipe, tubelet=1), _align_config(recipe, teacher_dim=teacher.dim))
        self.objective: Objective = recipe.objective
        self.teaching = teacher.teaching
        self.prepare = teacher.prepare
        self.learned_from = teacher.learned_from

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]  # a method's
        """Return `loss`: how far the student is from the teacher at the visible tokens.

        Args:
            batch: `clip`, uint8 [B, T, S, S, 3], and what else `teaching` asks for.
        """
        visible, features = self.teaching(batch)
        student = self.align(normalize(to_float(batch["clip"])), visible).float()
        teacher = to_unit(features).permute(2, 0, 1, 3)
        # Both have length 1: the student's heads see to that.
        return {"loss": align_loss(student, teacher, norm="none", distance=self.objective.distance)}

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip, masked ones too."""
        return self.encoder.config.num_tokens

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors."""
        return is_vector(name)


def build_method(recipe: Recipe, dataset: Dataset, *, open_teacher: OpenTeacher | None = None) -> Umt:
    """Return the method of a recipe, its weights drawn from the recipe's seed.

    Raises:
        UsageError: the recipe does not read frames and a teacher's features, or features of other patches or
            of fewer blocks than the student's; or it has numbers of finetuning.
    """
    _check_model(recipe)
    crop = partial(published_crop, image_px=recipe.model.image_px)
    method = Umt(recipe, teacher=teacher_of(recipe, dataset, open_teacher=open_teacher, crop=crop))
    initialize_vit(method, generator=torch.Generator().manual_seed(recipe.train.seed))
    return method


def pretraining_network(recipe: Recipe, state: Mapping[str, Tensor]) -> DistilledLevels:
    """Return the network of a recipe, its weights not drawn, for the teacher of a state.

    Raises:
        UsageError: the state has no heads for a teacher's features.
    """
    if (head := state.get(_HEAD)) is None:
        raise UsageError(f"The weights have no {_HEAD}, whose rows are the channels of UMT's teacher.")
    return student_of(recipe, teacher_dim=len(head))


def student_of(recipe: Recipe, *, teacher_dim: int) -> DistilledLevels:
    """Return the network of a recipe, its weights not drawn, for a teacher of so many channels."""
    _check_model(recipe)
    return DistilledLevels(vit_config(recipe, tubelet=1), _align_config(recipe, teacher_dim=teacher_dim))


def _align_config(recipe: Recipe, *, teacher_dim: int) -> AlignConfig:
    model = recipe.model
    return AlignConfig(
        teacher_dim=teacher_dim, num_levels=model.num_levels, level_interval=model.level_interval
    )


def _check_model(recipe: Recipe) -> None:
    model = recipe.model
    for key, is_given in (("pretrained_grid", model.has_own_shape), ("views", model.views != "umt")):
        if is_given:
            raise UsageError(
                f"model.{key} tells how an encoder is finetuned and tested, and {recipe.name} pretrains one: "
                "leave it out."
            )
