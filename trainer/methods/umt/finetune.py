"""How UMT's students learn to classify."""

from collections.abc import Callable
from dataclasses import replace

from vfm.trainer.methods.umt.recipe import tiny
from vfm.trainer.recipes.classify import ClassifyConfig
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig


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


RECIPES: dict[str, Callable[[], Recipe]] = {"umt-tiny-classify": tiny_classify}
