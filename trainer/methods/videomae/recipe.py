"""The numbers of VideoMAE: its networks, its mask, its loss."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.encoder import AutoencoderSizes
from vfm.trainer.recipes.recipe import DataConfig, OptimConfig, Recipe, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is masked, and how its reconstruction is judged (arXiv 2203.12602, section 3.3).

    Attributes:
        mask_ratio: share of the cells of a frame that are hidden, the same ones in all frames.
        normalise_target: whether each tubelet and colour is brought to mean 0 and deviation 1.
    """

    mask_ratio: float = 0.9
    normalise_target: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.mask_ratio < 1.0:
            raise UsageError(f"objective.mask_ratio is {self.mask_ratio}, but must be between 0 and 1.")


def base() -> Recipe:
    """The base model on Kinetics-400, 1600 epochs (its script of that name)."""
    return Recipe(
        name="videomae-base",
        method="videomae",
        model=AutoencoderSizes(),
        objective=Objective(),
        data=DataConfig(columns=("frames",), clip_len=16, seconds_apart=4 / 30),
        optim=OptimConfig(
            lr=1.5e-4,
            min_lr=1e-5,
            lr_batch_size=256,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=None,
            warmup_epochs=40,
            warmup_peak="last",
            schedule="cosine",
        ),
        train=TrainConfig(epochs=1600, batch_size=2048),
    )


def small() -> Recipe:
    """The small model on Kinetics-400, 1600 epochs."""
    recipe = base()
    model = replace(recipe.model, dim=384, num_heads=6, decoder_dim=192, decoder_heads=3)
    return replace(recipe, name="videomae-small", model=model, train=replace(recipe.train, batch_size=1024))


def large() -> Recipe:
    """The large model on Kinetics-400, 1600 epochs."""
    recipe = base()
    model = replace(
        recipe.model, dim=1024, depth=24, num_heads=16, decoder_dim=512, decoder_heads=8, decoder_depth=12
    )
    return replace(recipe, name="videomae-large", model=model, train=replace(recipe.train, batch_size=512))


def huge() -> Recipe:
    """The huge model on Kinetics-400, 1600 epochs."""
    recipe = large()
    model = replace(recipe.model, dim=1280, depth=32, decoder_dim=640)
    return replace(recipe, name="videomae-huge", model=model, train=replace(recipe.train, batch_size=1024))


def tiny() -> Recipe:
    """A model that learns something on a CPU in minutes; our own configuration, not from the paper."""
    recipe = base()
    return replace(
        recipe,
        name="videomae-tiny",
        model=AutoencoderSizes(
            image_px=64,
            patch_px=8,
            dim=96,
            depth=4,
            num_heads=3,
            decoder_dim=48,
            decoder_depth=2,
            decoder_heads=3,
        ),
        objective=Objective(mask_ratio=0.75),
        data=replace(recipe.data, clip_len=4, seconds_apart="any", stride=1),
        optim=replace(
            recipe.optim, lr=1e-3, min_lr=1e-5, lr_batch_size=None, warmup=0.05, warmup_epochs=None
        ),
        train=TrainConfig(epochs=20, batch_size=16),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "videomae-tiny": tiny,
    "videomae-small": small,
    "videomae-base": base,
    "videomae-large": large,
    "videomae-huge": huge,
}
