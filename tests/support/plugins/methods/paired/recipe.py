"""The recipe of the method ``paired``."""

from collections.abc import Callable
from dataclasses import dataclass

from vfm.trainer.recipes.recipe import DataConfig, OptimConfig, Recipe, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Sizes of the network."""

    frame_px: int = 24
    dim: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Nothing to choose."""


def tiny() -> Recipe:
    """Learn in milliseconds."""
    return Recipe(
        name="paired-tiny",
        method="paired",
        model=ModelConfig(),
        objective=Objective(),
        data=DataConfig(columns=("frames", "seen*"), clip_len=3),
        optim=OptimConfig(lr=1e-2),
        train=TrainConfig(
            batch_size=4, max_steps=6, log_every=1, checkpoint_every=2, keep_checkpoints=9, precision="fp32"
        ),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"paired-tiny": tiny}
