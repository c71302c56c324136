"""Finds videos by their captions, and captions by their videos."""

from typing import cast

from vfm.shards.reading.dataset import Dataset
from vfm.trainer import methods
from vfm.trainer.data.clip_sampling import clip_sampling
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.tasks.classify.clips import RandomClip
from vfm.trainer.tasks.retrieve.pairs import RandomPair
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.video_text.captions import CaptionReader, TextColumn, text_column
from vfm.trainer.video_text.contrast import check_contrast
from vfm.trainer.video_text.model import VideoTextPackage


def build(recipe: Recipe, dataset: Dataset, *, column: TextColumn | None = None) -> Retrieve:
    """Return the encoders of a recipe and their loss, drawn from the recipe's seed.

    Call `backbone.load_pretrained` on it to start from pretrained weights.

    Args:
        recipe: a recipe of this task, its columns resolved.
        dataset: the samples with captions to learn from.
        column: what is known of the ids; None asks the dataset, which may have none to be searched.

    Raises:
        UsageError: the recipe reads no captions, or contradicts itself.
    """
    column, config = column or text_column(recipe, dataset), recipe.objective
    check_contrast(recipe)
    package = methods.load(recipe.method)
    clips = RandomClip(
        reader=package.build_clip_reader(recipe, dataset),
        sampling=clip_sampling(recipe.data),
        augment=config.augment,
    )
    captions = CaptionReader(column=column, max_ids=config.max_ids, captions=config.captions)
    model = cast("VideoTextPackage", package).build_video_text(recipe, column)
    return Retrieve(model, config=config, prepare=RandomPair(clips=clips, captions=captions))
