"""How MaskFeat's encoders learn to classify: the numbers of PySlowFast's configurations, on Kinetics-400."""

from collections.abc import Callable
from dataclasses import replace

from vfm.trainer.methods.maskfeat.recipe import large, small, tiny
from vfm.trainer.recipes.classify import Augmentation, ClassifyConfig, classifying
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig


def pooled(recipe: Recipe, *, drop_path: float) -> Recipe:
    """Return a model with all of its poolings, as it is finetuned, and blocks left out at random."""
    model = replace(recipe.model, pools_at=recipe.model.grows_at, drop_path=drop_path)
    return replace(recipe, model=model)


def as_mmaction2(recipe: Recipe) -> Recipe:
    """Return a model that classifies by its class token, and clips that go on with their first frame."""
    model = replace(recipe.model, pooling="class", views="mmaction2")
    return replace(recipe, model=model, data=replace(recipe.data, sampling="looped"))


def changed(*, num_draws: int) -> ClassifyConfig:
    """Return how clips are changed and mixed, ``num_draws`` of them made whenever a sample is read."""
    augment = Augmentation(
        rand_augment="rand-m7-mstd0.5-inc1", crop_area=0.08, flip=0.5, erase=0.25, num_draws=num_draws
    )
    return ClassifyConfig(label_smoothing=0.1, augment=augment, mixup=0.8, cutmix=1.0)


# Rates are for 16 samples, however often each of them is drawn.
_OPTIM = OptimConfig(
    lr=6e-4,
    lr_batch_size=16,
    min_lr=1e-6,
    warmup_start=1e-6,
    warmup_epochs=20,
    weight_decay=0.05,
    clip_norm=5.0,
    schedule="cosine",
    layer_decay=0.75,
)


def tiny_classify() -> Recipe:
    """Fine-tune the tiny model; our own configuration, not from the paper."""
    return classifying(
        pooled(tiny(), drop_path=0.0),
        objective=ClassifyConfig(),
        optim=OptimConfig(lr=1e-3, weight_decay=0.05, schedule="cosine"),
        train=TrainConfig(epochs=30, batch_size=16),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "maskfeat-mvit-tiny-classify": tiny_classify,
    "maskfeat-mvit-s-classify": lambda: classifying(
        pooled(small(), drop_path=0.1),
        objective=changed(num_draws=2),
        optim=_OPTIM,
        train=TrainConfig(epochs=100, batch_size=256),
    ),
    # MMAction2's finetuning of the same weights.
    "maskfeat-mvit-s-classify-mmaction2": lambda: classifying(
        as_mmaction2(pooled(small(), drop_path=0.1)),
        suffix="-mmaction2",
        objective=changed(num_draws=2),
        optim=_OPTIM,
        train=TrainConfig(epochs=100, batch_size=256),
    ),
    "maskfeat-mvit-l-classify": lambda: classifying(
        pooled(large(), drop_path=0.2),
        objective=changed(num_draws=1),
        optim=replace(_OPTIM, min_lr=1e-5, warmup_start=1e-8, warmup_epochs=5, layer_decay=0.875),
        train=TrainConfig(epochs=75, batch_size=256),
    ),
}
