"""Names the class of a sample."""

from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.reading.dataset import Dataset
from vfm.trainer import methods
from vfm.trainer.data.clip_sampling import clip_sampling
from vfm.trainer.data.rand_augment import parse_policy
from vfm.trainer.recipes.classify import ClassifyConfig
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.tasks.classify.classifier import Classify
from vfm.trainer.tasks.classify.clips import RandomClip


def build(recipe: Recipe, dataset: Dataset) -> Classify:
    """Return the classifier of a recipe, its encoder drawn from the recipe's seed.

    Call `backbone.load_pretrained` on it to start from pretrained weights.

    Args:
        recipe: a recipe of this task, its columns resolved.
        dataset: the labelled samples to learn from.

    Raises:
        UsageError: samples without a label, or fewer than two classes.
    """
    check_labels(dataset)
    _check_changes(recipe)
    package = methods.load(recipe.method)
    prepare = RandomClip(
        reader=package.build_clip_reader(recipe, dataset),
        sampling=clip_sampling(recipe.data),
        augment=recipe.objective.augment,
    )
    backbone = package.build_backbone(recipe, dataset)
    return Classify(
        backbone,
        num_classes=len(dataset.classes),
        config=recipe.objective,
        prepare=prepare,
        seed=recipe.train.seed,
    )


def _check_changes(recipe: Recipe) -> None:
    """Refuse what no reader could do, before one is started."""
    config: ClassifyConfig = recipe.objective
    if config.augment.rand_augment is not None:
        parse_policy(config.augment.rand_augment)
    if (config.augment.crop_area or config.mixup or config.cutmix) and FRAMES not in recipe.data.columns:
        raise UsageError(
            f"{recipe.name} reads {', '.join(recipe.data.columns)}, and only frames can be cropped, mirrored "
            "or mixed: leave out objective.augment, objective.mixup and objective.cutmix."
        )
    if FRAMES in recipe.data.columns and config.augment.stored_views != "first":
        raise UsageError(
            f"objective.augment.stored_views is {config.augment.stored_views}, and {recipe.name} reads "
            "frames, which have no stored views: set it to first."
        )


def check_labels(dataset: Dataset) -> None:
    """Refuse samples without a label, and fewer than two classes."""
    if len(dataset.classes) < 2:
        raise UsageError(
            f"Classification needs at least two classes, and the dataset has {len(dataset.classes)}: "
            "give `vfm extract` a list with labels."
        )
    num_unknown = int((dataset.class_indices < 0).sum())
    if num_unknown:
        raise UsageError(
            f"{num_unknown} of {len(dataset)} samples have no label: train on the labelled ones alone."
        )
