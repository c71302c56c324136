"""How VideoMAE models learn to classify: the numbers of the published scripts."""

from collections.abc import Callable
from dataclasses import replace

from vfm.trainer.methods.videomae.recipe import base, huge, large, small, tiny
from vfm.trainer.recipes.classify import ClassifyConfig, classifying, published, published_optim
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig


def tiny_classify() -> Recipe:
    """Fine-tune the tiny model; our own configuration, not from the paper."""
    return classifying(
        tiny(),
        objective=ClassifyConfig(),
        optim=OptimConfig(lr=1e-3, weight_decay=0.05, schedule="cosine"),
        train=TrainConfig(epochs=30, batch_size=32),
    )


def dense(recipe: Recipe, *, drop_path: float = 0.1) -> Recipe:
    """Return a model as it is finetuned on Kinetics: frames of a window, blocks left out at random."""
    return replace(
        recipe,
        model=replace(recipe.model, drop_path=drop_path),
        data=replace(recipe.data, sampling="dense"),
    )


def spread_as_ssv2(recipe: Recipe) -> Recipe:
    """Return a model as it is finetuned on Something-Something V2: frames from the whole video."""
    data = replace(recipe.data, sampling="ssv2", seconds_apart="any", stride=None)
    return replace(recipe, model=replace(recipe.model, drop_path=0.1), data=data)


_TWICE, _ONCE = published(num_draws=2), published(num_draws=1)
_DIRECTED = published(num_draws=2, flip=0.0)  # for classes that tell left from right
_DROPPED = replace(_TWICE, last_dropout=0.5)
# Rates are for 256 samples, however often each of them is drawn.
_OPTIM = published_optim(lr=5e-4, lr_batch_size=256)

RECIPES: dict[str, Callable[[], Recipe]] = {
    "videomae-tiny-classify": tiny_classify,
    # On Kinetics-400.
    "videomae-small-classify": lambda: classifying(
        dense(small()), objective=_TWICE, optim=_OPTIM, train=TrainConfig(epochs=150, batch_size=384)
    ),
    "videomae-base-classify": lambda: classifying(
        dense(base()), objective=_TWICE, optim=_OPTIM, train=TrainConfig(epochs=75, batch_size=384)
    ),
    "videomae-large-classify": lambda: classifying(
        dense(large()),
        objective=_TWICE,
        optim=replace(_OPTIM, lr=2e-3),
        train=TrainConfig(epochs=35, batch_size=128),
    ),
    "videomae-huge-classify": lambda: classifying(
        dense(huge(), drop_path=0.2),
        objective=_DROPPED,
        optim=replace(_OPTIM, lr=1e-3, min_lr=1e-5),
        train=TrainConfig(epochs=50, batch_size=512),
    ),
    # After 800 epochs of pretraining where the others have 1600.
    "videomae-base-classify-800": lambda: classifying(
        dense(base()),
        suffix="-800",
        objective=_ONCE,
        optim=replace(_OPTIM, lr=1e-3),
        train=TrainConfig(epochs=100, batch_size=512),
    ),
    "videomae-base-classify-ucf101": lambda: classifying(
        dense(base(), drop_path=0.2),
        suffix="-ucf101",
        objective=_DROPPED,
        optim=replace(_OPTIM, min_lr=1e-5, layer_decay=0.7),
        train=TrainConfig(epochs=100, batch_size=128),
    ),
    "videomae-small-classify-ssv2": lambda: classifying(
        spread_as_ssv2(small()),
        suffix="-ssv2",
        objective=_DIRECTED,
        optim=replace(_OPTIM, lr=1e-3, layer_decay=0.7),
        train=TrainConfig(epochs=40, batch_size=384),
    ),
    "videomae-base-classify-ssv2": lambda: classifying(
        spread_as_ssv2(base()),
        suffix="-ssv2",
        objective=_DIRECTED,
        optim=_OPTIM,
        train=TrainConfig(epochs=30, batch_size=384),
    ),
}
