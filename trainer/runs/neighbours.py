"""What an encoder knows without being taught the task: how the nearest samples of a labelled bank vote."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vfm.shards.reading.dataset import Dataset
from vfm.trainer import methods
from vfm.trainer.data.clip_sampling import clip_sampling
from vfm.trainer.engine.inference import Inference
from vfm.trainer.method import Backbone
from vfm.trainer.models.knn import knn_scores
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.tasks.classify.clips import LABEL, RandomClip, SpreadClips


def neighbour_scores(  # noqa: PLR0913 (keyword-only)
    *,
    recipe: Recipe,
    state: Mapping[str, Tensor],
    dataset: Dataset,
    bank: Dataset,
    views: tuple[int, int],
    how: Inference,
) -> Tensor | None:
    """Return the votes of the nearest samples of a labelled bank: float32 [N, classes].

    Every rank must call this, and gets the votes of all samples; None where any was asked to stop.

    Args:
        recipe: of the encoder; of its columns those of its clips are read.
        state: the encoder's weights, in whatever run they are.
        dataset: samples to classify.
        bank: samples whose class is known.
        views: clips of each sample, and squares of each clip.
        how: goes through the samples.
    """
    package = methods.load(recipe.method)
    backbone = package.build_backbone(recipe, dataset)
    backbone.load_pretrained(state)
    backbone.to(how.world.device).eval()
    clips = views_of(recipe, dataset, num_clips=views[0], num_crops=views[1])

    def compute(batch: dict[str, Tensor]) -> Tensor:
        return mean_features(backbone, batch)

    query = how.rows(dataset, clips, compute=compute)
    known = None if query is None else how.rows(bank, clips, compute=compute)
    if query is None or known is None:
        return None
    labels, num_classes = torch.from_numpy(bank.class_indices), len(dataset.classes)
    return knn_scores(query, bank_ND=known, labels_N=labels, num_classes=num_classes)


def views_of(recipe: Recipe, dataset: Dataset, *, num_clips: int, num_crops: int) -> SpreadClips:
    """Return what reads the views of a sample that an encoder is given, see `mean_features`."""
    reader = methods.load(recipe.method).build_clip_reader(recipe, dataset)
    clip = RandomClip(reader=reader, sampling=clip_sampling(recipe.data))
    return SpreadClips(random_clip=clip, num_clips=num_clips, num_crops=num_crops)


def mean_features(backbone: Backbone, batch: dict[str, Tensor]) -> Tensor:
    """Return the mean over views of each sample's vectors, float32 [B, D].

    Args:
        backbone: the encoder.
        batch: arrays of `SpreadClips`, stacked.
    """
    views = {name: array for name, array in batch.items() if name != LABEL}
    num_samples, num_views = next(iter(views.values())).shape[:2]
    flat = backbone.features({name: array.flatten(0, 1) for name, array in views.items()})
    return flat.float().view(num_samples, num_views, -1).mean(1)
