"""How VideoMAE models learn to classify."""

from collections.abc import Callable
from dataclasses import replace

from vfm.trainer.methods.videomae.recipe import tiny
from vfm.trainer.recipes.classify import ClassifyConfig
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


RECIPES: dict[str, Callable[[], Recipe]] = {"videomae-tiny-classify": tiny_classify}
