"""How VideoMAE models learn to classify: the numbers of the published scripts."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from vfm.trainer.methods.videomae.recipe import base, huge, large, small, tiny
from vfm.trainer.recipes.classify import ClassifyConfig, published
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig


def tiny_classify() -> Recipe:
    """Fine-tune the tiny model; our own configuration, not from the paper."""
    return replace(
        tiny(),
        name="videomae-tiny-classify",
        task="classify",
        objective=ClassifyConfig(),
        optim=OptimConfig(lr=1e-3, weight_decay=0.05, schedule="cosine"),
        train=TrainConfig(epochs=30, batch_size=32),
    )


def classify(
    model: Callable[[], Recipe],
    *,
    suffix: str = "",
    objective: ClassifyConfig,
    optim: OptimConfig,
    train: TrainConfig,
    drop_path: float = 0.1,
) -> Recipe:
    """Return the finetuning of a published model; ``suffix`` ends the recipe's name."""
    recipe = model()
    return replace(
        recipe,
        name=f"{recipe.name}-classify{suffix}",
        task="classify",
        model=replace(recipe.model, drop_path=drop_path),
        objective=objective,
        data=replace(recipe.data, sampling="dense"),
        optim=optim,
        train=train,
    )


def classify_ssv2(model: Callable[[], Recipe], *, optim: OptimConfig, train: TrainConfig) -> Recipe:
    """Return the finetuning on Something-Something V2, whose classes tell left from right."""
    objective = published(num_draws=2, flip=0.0)
    recipe = classify(model, suffix="-ssv2", objective=objective, optim=optim, train=train)
    return replace(recipe, data=replace(recipe.data, sampling="ssv2", seconds_apart="any", stride=None))


_TWICE = published(num_draws=2)
# Rates are for 256 samples, however often each of them is drawn.
_OPTIM = OptimConfig(
    lr=5e-4,
    min_lr=1e-6,
    lr_batch_size=256,
    weight_decay=0.05,
    clip_norm=None,
    warmup_epochs=5,
    warmup_peak="last",
    schedule="cosine",
    layer_decay=0.75,
)
_kinetics = partial(classify, objective=_TWICE)

RECIPES: dict[str, Callable[[], Recipe]] = {
    "videomae-tiny-classify": tiny_classify,
    "videomae-small-classify": partial(
        _kinetics, small, optim=_OPTIM, train=TrainConfig(epochs=150, batch_size=384)
    ),
    "videomae-base-classify": partial(
        _kinetics, base, optim=_OPTIM, train=TrainConfig(epochs=75, batch_size=384)
    ),
    "videomae-large-classify": partial(
        _kinetics, large, optim=replace(_OPTIM, lr=2e-3), train=TrainConfig(epochs=35, batch_size=128)
    ),
    "videomae-huge-classify": partial(
        classify,
        huge,
        objective=replace(_TWICE, last_dropout=0.5),
        optim=replace(_OPTIM, lr=1e-3, min_lr=1e-5),
        train=TrainConfig(epochs=50, batch_size=512),
        drop_path=0.2,
    ),
    # After 800 epochs of pretraining where the others have 1600.
    "videomae-base-classify-800": partial(
        classify,
        base,
        suffix="-800",
        objective=published(num_draws=1),
        optim=replace(_OPTIM, lr=1e-3),
        train=TrainConfig(epochs=100, batch_size=512),
    ),
    "videomae-base-classify-ucf101": partial(
        classify,
        base,
        suffix="-ucf101",
        objective=replace(_TWICE, last_dropout=0.5),
        optim=replace(_OPTIM, min_lr=1e-5, layer_decay=0.7),
        train=TrainConfig(epochs=100, batch_size=128),
        drop_path=0.2,
    ),
    "videomae-small-classify-ssv2": partial(
        classify_ssv2,
        small,
        optim=replace(_OPTIM, lr=1e-3, layer_decay=0.7),
        train=TrainConfig(epochs=40, batch_size=384),
    ),
    "videomae-base-classify-ssv2": partial(
        classify_ssv2, base, optim=_OPTIM, train=TrainConfig(epochs=30, batch_size=384)
    ),
}
