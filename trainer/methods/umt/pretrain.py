"""UMT's first stage: the student sees a part of a clip and says of it what the teacher says."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vfm.shards.columns.arrays import ATTENTION
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.clip_sampling import clip_sampling
from vfm.trainer.data.features import ProductFeatures, ScalarFeatures, open_features
from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.data.paired_clips import StoredTarget, paired_reader
from vfm.trainer.method import Method
from vfm.trainer.methods.umt.reader import PretrainReader
from vfm.trainer.methods.umt.recipe import Objective
from vfm.trainer.models.distillation import AlignConfig, DistilledLevels, align_loss, to_unit
from vfm.trainer.models.vit import VitConfig, initialize_vit
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import VitBackbone, is_vector


class Umt(DistilledLevels, Method):
    """The student and its loss, under the keys of an official checkpoint.

    Args:
        recipe: the numbers.
        teacher_dim: channels of the teacher's features.
        features: makes numbers of the teacher's features as they are stored.
        prepare: reads a sample.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        teacher_dim: int,
        features: ScalarFeatures | ProductFeatures,
        prepare: PretrainReader,
    ) -> None:
        model = recipe.model
        align = AlignConfig(
            teacher_dim=teacher_dim, num_levels=model.num_levels, level_interval=model.level_interval
        )
        super().__init__(vit_config(recipe), align)
        self.objective: Objective = recipe.objective
        self.features = features
        self.prepare = prepare

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]  # a method's
        """Return `loss`: how far the student is from the teacher at the visible tokens.

        Args:
            batch: `clip`, uint8 [B, T, S, S, 3], `is_hidden`, bool [B, N], and what is stored of the
                teacher's features at the visible tokens, [B, N_visible, ...] by field.
        """
        student = self.align(normalize(to_float(batch["clip"])), batch["is_hidden"]).float()
        teacher = to_unit(self.features(batch)).permute(2, 0, 1, 3)
        # Both have length 1: the student's heads see to that.
        return {"loss": align_loss(student, teacher, norm="none", distance=self.objective.distance)}

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors."""
        return is_vector(name)


def vit_config(recipe: Recipe) -> VitConfig:
    """Return the sizes of the student of a recipe."""
    model = recipe.model
    return VitConfig(
        image_px=model.image_px,
        patch_px=model.patch_px,
        num_frames=recipe.data.clip_len,
        tubelet=1,
        dim=model.dim,
        depth=model.depth,
        num_heads=model.num_heads,
        drop_path=model.drop_path,
    )


def build_method(recipe: Recipe, dataset: Dataset) -> Umt:
    """Return the method of a recipe, its weights drawn from the recipe's seed.

    Raises:
        UsageError: the recipe does not read frames and a teacher's features, or features of other patches or
            of fewer blocks than the student's.
    """
    column_of_kind(recipe, FRAMES)
    column = column_of_kind(recipe, "clip")
    teacher_dim = _check_teacher(recipe, dataset, column=column)
    options = dataset.manifest.columns[column].options
    features = open_features(dataset.data / column, options, num_levels=recipe.model.num_levels)
    prepare = PretrainReader(
        attention=paired_reader(dataset, {ATTENTION: StoredTarget(column, ATTENTION)}),
        features=paired_reader(dataset, {field: StoredTarget(column, field) for field in features.fields}),
        sampling=clip_sampling(recipe.data),
        objective=recipe.objective,
    )
    method = Umt(recipe, teacher_dim=teacher_dim, features=features, prepare=prepare)
    initialize_vit(method, generator=torch.Generator().manual_seed(recipe.train.seed))
    return method


def build_encoder(recipe: Recipe) -> VitBackbone:
    """Return the encoder of a recipe alone, its weights drawn from the recipe's seed."""
    backbone = VitBackbone(vit_config(recipe))
    generator = torch.Generator().manual_seed(recipe.train.seed)
    initialize_vit(backbone, generator=generator, linear="truncated")
    return backbone


def _check_teacher(recipe: Recipe, dataset: Dataset, *, column: str) -> int:
    """Return the channels of the teacher's features, once they are known to fit the student."""
    options, model = dataset.manifest.columns[column].options, recipe.model
    sides = {view["crop_px"] // options["token_px"] for view in options["views"]}
    side = model.image_px // model.patch_px
    if sides != {side}:
        grids = " and ".join(f"{found} x {found}" for found in sorted(sides))
        raise UsageError(
            f"Column {column} has {grids} tokens a frame and the student {side} x {side}: compute it with "
            f"`vfm tokenize DATA --target clip:{options['teacher']} --crop {model.image_px} "
            f"--token {model.patch_px}`."
        )
    if options["levels"] < model.num_levels:
        raise UsageError(
            f"Column {column} holds {options['levels']} levels of its teacher and the recipe compares "
            f"{model.num_levels}: compute it with --levels {model.num_levels}, or `--set "
            f"model.num_levels={options['levels']}`."
        )
    interval = options.get("level_interval", 1)  # absent before it could be chosen
    if model.num_levels > 1 and interval != model.level_interval:
        raise UsageError(
            f"Column {column} holds blocks of its teacher that are {interval:g} apart and the recipe "
            f"compares blocks {model.level_interval:g} apart: compute it with --level-interval "
            f"{model.level_interval:g}."
        )
    dim: int = options["dim"]
    return dim
