"""How UMT's students learn to classify: the numbers of the published scripts."""

from collections.abc import Callable
from dataclasses import replace

from vfm.trainer.methods.umt.recipe import Grid, base, large, tiny
from vfm.trainer.recipes.classify import ClassifyConfig, classifying, published, published_optim
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig


def tiny_classify() -> Recipe:
    """Fine-tune the tiny student; our own configuration, not from the paper."""
    return classifying(
        tiny(),
        objective=ClassifyConfig(),
        optim=OptimConfig(lr=1e-3, weight_decay=0.05, schedule="cosine"),
        train=TrainConfig(epochs=30, batch_size=16),
    )


def spread_as_ssv2(recipe: Recipe) -> Recipe:
    """Return a student whose clips are drawn as for Something-Something V2."""
    return replace(recipe, data=replace(recipe.data, sampling="ssv2"))


def reshaped(recipe: Recipe, *, num_frames: int = 8, image_px: int = 224) -> Recipe:
    """Return a published student that is finetuned on more or larger frames than it was pretrained on."""
    model = replace(recipe.model, image_px=image_px, pretrained_grid=PUBLISHED_GRID)
    return replace(recipe, model=model, data=replace(recipe.data, clip_len=num_frames))


PUBLISHED_GRID: Grid = (8, 14, 14)

_TWICE, _ONCE = published(num_draws=2), published(num_draws=1)
_DIRECTED = published(num_draws=2, flip=0.0)  # for classes that tell left from right
# Rates are for 256 clips, of which a sample that is drawn twice gives two.
_BASE = published_optim(lr=2e-4, lr_batch_size=128, warmup_start=1e-6, warmup_epochs=2)
_LARGE = replace(_BASE, lr=1e-4, layer_decay=0.85)
_MIT_BASE = replace(_BASE, lr=1e-4, lr_batch_size=256, warmup_epochs=5)
_MIT_LARGE = replace(_MIT_BASE, layer_decay=_LARGE.layer_decay)
_MIT_BASE_384 = replace(_MIT_BASE, lr=1e-5, warmup_epochs=1, weight_decay=0.1)
_MIT_LARGE_384 = replace(_MIT_BASE_384, layer_decay=_LARGE.layer_decay)

RECIPES: dict[str, Callable[[], Recipe]] = {
    "umt-tiny-classify": tiny_classify,
    # From pretraining on Kinetics-710 to its labels.
    "umt-base-classify": lambda: classifying(
        base(), objective=_TWICE, optim=_BASE, train=TrainConfig(epochs=35, batch_size=256)
    ),
    "umt-large-classify": lambda: classifying(
        large(), objective=_TWICE, optim=_LARGE, train=TrainConfig(epochs=20, batch_size=256)
    ),
    # From there to Kinetics-400, -600 or -700.
    "umt-base-classify-k400": lambda: classifying(
        base(),
        suffix="-k400",
        objective=_TWICE,
        optim=replace(_BASE, lr=2e-5, warmup_epochs=1),
        train=TrainConfig(epochs=5, batch_size=256),
    ),
    "umt-large-classify-k400": lambda: classifying(
        large(),
        suffix="-k400",
        objective=_TWICE,
        optim=replace(_LARGE, lr=1e-5, warmup_epochs=1),
        train=TrainConfig(epochs=5, batch_size=256),
    ),
    "umt-large-classify-k400-f16": lambda: classifying(
        reshaped(large(), num_frames=16),
        suffix="-k400-f16",
        objective=_TWICE,
        optim=replace(_LARGE, lr=1e-5, warmup_epochs=1),
        train=TrainConfig(epochs=5, batch_size=128),
    ),
    # From Kinetics-400 to Moments in Time.
    "umt-base-classify-mit": lambda: classifying(
        base(),
        suffix="-mit",
        objective=_ONCE,
        optim=_MIT_BASE,
        train=TrainConfig(epochs=40, batch_size=512),
    ),
    "umt-large-classify-mit": lambda: classifying(
        large(),
        suffix="-mit",
        objective=_ONCE,
        optim=_MIT_LARGE,
        train=TrainConfig(epochs=20, batch_size=512),
    ),
    # From there to larger frames.
    "umt-base-classify-mit-384": lambda: classifying(
        reshaped(base(), image_px=384),
        suffix="-mit-384",
        objective=_ONCE,
        optim=_MIT_BASE_384,
        train=TrainConfig(epochs=4, batch_size=256),
    ),
    "umt-large-classify-mit-384": lambda: classifying(
        reshaped(large(), image_px=384),
        suffix="-mit-384",
        objective=_ONCE,
        optim=_MIT_LARGE_384,
        train=TrainConfig(epochs=4, batch_size=128),
    ),
    # From pretraining to Something-Something V2.
    "umt-base-classify-ssv2": lambda: classifying(
        spread_as_ssv2(base()),
        suffix="-ssv2",
        objective=_DIRECTED,
        optim=replace(_BASE, warmup_epochs=5),
        train=TrainConfig(epochs=30, batch_size=256),
    ),
    "umt-large-classify-ssv2": lambda: classifying(
        spread_as_ssv2(large()),
        suffix="-ssv2",
        objective=_DIRECTED,
        optim=replace(_LARGE, lr=4e-4, warmup_epochs=4),
        train=TrainConfig(epochs=14, batch_size=256),
    ),
}
