"""How VIMPAC models learn to classify: the numbers of the paper's downstream runs."""

from collections.abc import Callable
from dataclasses import replace

from vfm.trainer.methods.vimpac.recipe import large_half, large_half_256, small, tiny
from vfm.trainer.recipes.classify import Augmentation, ClassifyConfig, classifying
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig


def small_classify() -> Recipe:
    """Fine-tune the small model as the reference does on UCF101, HMDB51 and Diving48."""
    return classifying(
        small(),
        objective=ClassifyConfig(augment=Augmentation(stored_views="any")),
        optim=OptimConfig(lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01, clip_norm=1.0, warmup=0.1),
        train=TrainConfig(seed=9595, epochs=50, batch_size=128),
    )


def as_ssv2(recipe: Recipe) -> Recipe:
    """Return a finetuning as the reference's on Something-Something V2, whose classes tell left from right.

    It is tested on the middle alone, where the others are on three crops.
    """
    return replace(
        recipe,
        name=f"{recipe.name}-ssv2",
        objective=ClassifyConfig(augment=Augmentation(stored_views="unmirrored")),
        train=replace(recipe.train, epochs=22),
    )


def tiny_classify() -> Recipe:
    """Fine-tune the tiny model; our own configuration, not from the paper."""
    recipe = small_classify()
    return replace(
        recipe,
        name="vimpac-tiny-classify",
        model=tiny().model,
        data=tiny().data,
        objective=ClassifyConfig(),
        optim=replace(recipe.optim, lr=1e-3),
        train=TrainConfig(epochs=30, batch_size=32, validate_epochs=1),
    )


def large_half_classify() -> Recipe:
    """Fine-tune the large model as the reference does: with half the small one's rate."""
    recipe, large = small_classify(), large_half()
    optim = replace(recipe.optim, lr=5e-5)
    return replace(recipe, name="vimpac-large-half-classify", model=large.model, data=large.data, optim=optim)


def large_half_256_classify() -> Recipe:
    """Fine-tune the large model after its second stage; the numbers are those after the first."""
    model = large_half_256().model
    return replace(large_half_classify(), name="vimpac-large-half-256-classify", model=model)


RECIPES: dict[str, Callable[[], Recipe]] = {
    "vimpac-tiny-classify": tiny_classify,
    "vimpac-small-classify": small_classify,
    "vimpac-small-classify-ssv2": lambda: as_ssv2(small_classify()),
    "vimpac-large-half-classify": large_half_classify,
    "vimpac-large-half-classify-ssv2": lambda: as_ssv2(large_half_classify()),
    "vimpac-large-half-256-classify": large_half_256_classify,
}
