"""What the student is to say at the visible tokens, and which these are: from the shards, or computed now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from vfm.shards.columns.arrays import ATTENTION
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.clip_sampling import clip_sampling
from vfm.trainer.data.features import ProductFeatures, ScalarFeatures, open_features
from vfm.trainer.data.paired_clips import StoredTarget, paired_reader
from vfm.trainer.methods.umt.reader import ARRIVALS, VISIBLE, Crop, OnlineReader, StoredReader
from vfm.trainer.methods.umt.teacher import check_teacher, open_online
from vfm.trainer.models.vit import take
from vfm.trainer.online_teacher import OnlineTeacher, OpenTeacher
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe

_FRAMES_AT_ONCE = 64


class Teaching(Protocol):
    """Gives the teacher's side of a batch."""

    def __call__(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return which tokens are seen, int64 [B, N_visible], and their features, [B, N_visible, K, C].

        Args:
            batch: what the reader of the same kind has read.
        """


class StoredTeaching(nn.Module):
    """Features as the shards hold them.

    Args:
        features: makes numbers of them.
    """

    def __init__(self, features: ScalarFeatures | ProductFeatures) -> None:
        super().__init__()
        self.features = features

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `Teaching`."""
        return batch[VISIBLE], self.features(batch)


class OnlineTeaching:
    """Features of a teacher that looks at every clip now; it is no part of the method's state.

    Args:
        teacher: of single frames.
        num_levels: how many of its last levels are wanted.
        mask_ratio: share of the tokens of a frame that its attention hides.
        image_mask_ratio: the same, of clips of one frame.
    """

    def __init__(
        self, teacher: OnlineTeacher, *, num_levels: int, mask_ratio: float, image_mask_ratio: float
    ) -> None:
        self._teacher = teacher
        self._num_levels = num_levels
        self._mask_ratio, self._image_mask_ratio = mask_ratio, image_mask_ratio

    def __call__(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `Teaching`."""
        clip = batch["clip"]
        chunks = [self._teacher(frames) for frames in torch.split(clip.flatten(0, 1), _FRAMES_AT_ONCE)]
        features = torch.cat([features for features, _ in chunks])[:, :, -self._num_levels :]
        visible = batch.get(VISIBLE)
        if visible is None:
            attention = torch.cat([attention for _, attention in chunks])
            arrivals = batch[ARRIVALS]
            visible = self._draw(attention.view(arrivals.shape), arrivals)
        tokens = features.reshape(len(clip), -1, self._num_levels * features.shape[-1])
        return visible, take(tokens, visible).unflatten(2, (self._num_levels, -1))  # type: ignore[no-untyped-call]  # torch leaves it so

    def _draw(self, attention: Tensor, arrivals: Tensor) -> Tensor:
        """Return what `masks.attention_mask` shows of the same numbers, [B, T, N / T] each."""
        num_times, num_cells = attention.shape[1:]
        ratio = self._image_mask_ratio if num_times == 1 else self._mask_ratio
        num_visible = num_cells - int(ratio * num_cells)
        order = (arrivals / attention).argsort(dim=2, stable=True)
        cells = order[:, :, :num_visible].sort(dim=2).values
        first = torch.arange(num_times, device=cells.device)[:, None] * num_cells
        return (cells + first).flatten(1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Teacher:
    """What a student learns from.

    Attributes:
        dim: channels of the features.
        teaching: gives the teacher's side of a batch.
        prepare: reads a sample for it.
        learned_from: what a run is to go on with, as hashes by name.
    """

    dim: int
    teaching: Teaching
    prepare: StoredReader | OnlineReader
    learned_from: Mapping[str, str] = field(default_factory=dict)


def teacher_of(recipe: Recipe, dataset: Dataset, *, open_teacher: OpenTeacher | None, crop: Crop) -> Teacher:
    """Return the teacher of a recipe: one whose features are stored, or one that looks at every clip.

    Args:
        recipe: that has it.
        dataset: opened with the recipe's columns.
        open_teacher: makes the teacher, where it is on line.
        crop: what is seen of frames for which no views are stored.

    Raises:
        UsageError: the recipe does not read frames and a teacher's features; or features of other patches or
            of fewer blocks than the student's; or there is nobody to make a teacher on line.
    """
    column_of_kind(recipe, FRAMES)
    if recipe.objective.teacher == "stored":
        return _stored(recipe, dataset)
    if open_teacher is None:
        raise UsageError("A teacher on line has to be made by somebody: give open_teacher to `pretrain`.")
    return _online(recipe, dataset, open_teacher=open_teacher, crop=crop)


def _stored(recipe: Recipe, dataset: Dataset) -> Teacher:
    column = column_of_kind(recipe, "clip")
    options = dataset.manifest.columns[column].options
    check_teacher(recipe, options, column=column)
    features = open_features(dataset.data / column, options, num_levels=recipe.model.num_levels)
    prepare = StoredReader(
        attention=paired_reader(dataset, {ATTENTION: StoredTarget(column, ATTENTION)}),
        features=paired_reader(dataset, {field: StoredTarget(column, field) for field in features.fields}),
        sampling=clip_sampling(recipe.data),
        objective=recipe.objective,
    )
    return Teacher(dim=options["dim"], teaching=StoredTeaching(features), prepare=prepare)


def _online(recipe: Recipe, dataset: Dataset, *, open_teacher: OpenTeacher, crop: Crop) -> Teacher:
    made, views = open_online(recipe, dataset, open_teacher=open_teacher)
    objective, model = recipe.objective, recipe.model
    prepare = OnlineReader(
        views=views,
        crop=crop,
        num_cells=model.cells_per_frame,
        sampling=clip_sampling(recipe.data),
        objective=objective,
    )
    teaching = OnlineTeaching(
        made,
        num_levels=model.num_levels,
        mask_ratio=objective.mask_ratio,
        image_mask_ratio=getattr(objective, "image_mask_ratio", objective.mask_ratio),
    )
    return Teacher(
        dim=made.dim,
        teaching=teaching,
        prepare=prepare,
        learned_from={"teacher_weights_sha256": made.weights_sha256},
    )
