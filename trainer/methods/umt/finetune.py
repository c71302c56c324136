"""How UMT's students learn to classify: the numbers of the published scripts."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from vfm.trainer.methods.umt.recipe import base, large, tiny
from vfm.trainer.recipes.classify import ClassifyConfig, published
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, Sampling, TrainConfig


def tiny_classify() -> Recipe:
    """Fine-tune the tiny student; our own configuration, not from the paper."""
    return replace(
        tiny(),
        name="umt-tiny-classify",
        task="classify",
        objective=ClassifyConfig(),
        optim=OptimConfig(lr=1e-3, weight_decay=0.05, schedule="cosine"),
        train=TrainConfig(epochs=30, batch_size=16),
    )


def classify(
    student: Callable[[], Recipe],
    *,
    suffix: str = "",
    objective: ClassifyConfig,
    optim: OptimConfig,
    train: TrainConfig,
    sampling: Sampling = "sparse",
) -> Recipe:
    """Return the finetuning of a published student; ``suffix`` ends the recipe's name."""
    recipe = student()
    return replace(
        recipe,
        name=f"{recipe.name}-classify{suffix}",
        task="classify",
        objective=objective,
        data=replace(recipe.data, sampling=sampling),
        optim=optim,
        train=train,
    )


_TWICE, _ONCE = published(num_draws=2), published(num_draws=1)
# Rates are for 256 clips, of which a sample that is drawn twice gives two.
_BASE = OptimConfig(
    lr=2e-4,
    min_lr=1e-6,
    warmup_start=1e-6,
    lr_batch_size=128,
    weight_decay=0.05,
    clip_norm=None,
    warmup_epochs=2,
    warmup_peak="last",
    schedule="cosine",
    layer_decay=0.75,
)
_LARGE = replace(_BASE, lr=1e-4, layer_decay=0.85)

# From pretraining on Kinetics-710 to its labels.
_k710 = partial(classify, objective=_TWICE)
# From there to Kinetics-400, -600 or -700.
_k400 = partial(classify, suffix="-k400", objective=_TWICE, train=TrainConfig(epochs=5, batch_size=256))
# From Kinetics-400 to Moments in Time.
_mit = partial(classify, suffix="-mit", objective=_ONCE)
_MIT_BASE = replace(_BASE, lr=1e-4, lr_batch_size=256, warmup_epochs=5)
_MIT_LARGE = replace(_MIT_BASE, layer_decay=_LARGE.layer_decay)
# From pretraining to Something-Something V2, whose classes tell left from right.
_ssv2 = partial(classify, suffix="-ssv2", objective=published(num_draws=2, flip=0.0), sampling="ssv2")

RECIPES: dict[str, Callable[[], Recipe]] = {
    "umt-tiny-classify": tiny_classify,
    "umt-base-classify": partial(_k710, base, optim=_BASE, train=TrainConfig(epochs=35, batch_size=256)),
    "umt-large-classify": partial(_k710, large, optim=_LARGE, train=TrainConfig(epochs=20, batch_size=256)),
    "umt-base-classify-k400": partial(_k400, base, optim=replace(_BASE, lr=2e-5, warmup_epochs=1)),
    "umt-large-classify-k400": partial(_k400, large, optim=replace(_LARGE, lr=1e-5, warmup_epochs=1)),
    "umt-base-classify-mit": partial(
        _mit, base, optim=_MIT_BASE, train=TrainConfig(epochs=40, batch_size=512)
    ),
    "umt-large-classify-mit": partial(
        _mit, large, optim=_MIT_LARGE, train=TrainConfig(epochs=20, batch_size=512)
    ),
    "umt-base-classify-ssv2": partial(
        _ssv2, base, optim=replace(_BASE, warmup_epochs=5), train=TrainConfig(epochs=30, batch_size=256)
    ),
    "umt-large-classify-ssv2": partial(
        _ssv2,
        large,
        optim=replace(_LARGE, lr=4e-4, warmup_epochs=4),
        train=TrainConfig(epochs=14, batch_size=256),
    ),
}
