"""How the method ``paired`` learns to classify."""

from collections.abc import Callable
from dataclasses import replace

from vfm.trainer.methods.paired.recipe import tiny
from vfm.trainer.recipes.classify import ClassifyConfig
from vfm.trainer.recipes.recipe import Recipe


def tiny_classify() -> Recipe:
    """Learn in milliseconds."""
    return replace(tiny(), name="paired-tiny-classify", task="classify", objective=ClassifyConfig())


RECIPES: dict[str, Callable[[], Recipe]] = {"paired-tiny-classify": tiny_classify}
