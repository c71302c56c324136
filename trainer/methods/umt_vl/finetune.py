"""How UMT's second stage learns to retrieve: the numbers of the released scripts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from vfm.trainer.methods.umt_vl.recipe import AUGMENT, Negatives, base, large, tiny
from vfm.trainer.recipes.classify import Augmentation
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig
from vfm.trainer.recipes.retrieve import RetrieveConfig, retrieving

_NUM_FRAMES, _PRETRAINED_GRID = 12, (4, 14, 14)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchConfig(RetrieveConfig):
    """Videos by their captions, and captions by their videos, by vectors and by looking at both together.

    Attributes:
        temperature: divides the cosines of clips and captions; the one to begin with from scratch, as it is
            learned.
        negatives: which videos and captions of the batch are said not to belong together: more often those
            that are taken for right, ``hard``, or ``random`` ones.
    """

    max_ids: int = 32
    temperature: float = 0.07
    across_ranks: bool = True
    augment: Augmentation = field(default_factory=lambda: AUGMENT)
    negatives: Negatives = "hard"


def tiny_retrieve() -> Recipe:
    """Fine-tune the tiny model; our own configuration, not from the paper."""
    recipe = tiny()
    optim = replace(recipe.optim, lr=5e-4, lr_floor=5e-6)
    train = TrainConfig(epochs=30, batch_size=16)
    return retrieving(recipe, objective=MatchConfig(), optim=optim, train=train)


class Numbers(NamedTuple):
    """What the script of a data set says of one size of the model.

    Attributes:
        lr: the highest learning rate.
        epochs: passes over the videos.
        warmup_epochs: of these.
        drop_path: of the last block.
    """

    lr: float
    epochs: int
    warmup_epochs: int
    drop_path: float


class Convention(NamedTuple):
    """What is a caption of a data set.

    Attributes:
        max_ids: of one.
        captions: whether those of a video are joined.
    """

    max_ids: int
    captions: Literal["each", "joined"] = "each"


CONVENTIONS = {
    "": Convention(32),  # MSR-VTT: 9,000 videos of 20 captions to learn from, 1,000 pairs to test
    "-didemo": Convention(64, "joined"),  # of the first 30 s
    "-activitynet": Convention(150, "joined"),
    "-lsmdc": Convention(96),
    "-msvd": Convention(64),
    "-ssv2-label": Convention(25),
    "-ssv2-template": Convention(25),
}
# By size, data set, and pairs that the model was pretrained on: 25 million unless they are named.
NUMBERS: dict[str, dict[str, Numbers]] = {
    "base": {
        "": Numbers(1e-5, 10, 1, 0.2),
        "-5m": Numbers(2e-5, 10, 0, 0.2),
        "-17m": Numbers(2e-5, 10, 0, 0.2),
        "-didemo": Numbers(2e-5, 12, 1, 0.1),
        "-didemo-5m": Numbers(2e-5, 15, 1, 0.1),
        "-didemo-17m": Numbers(2e-5, 10, 1, 0.1),
        "-activitynet": Numbers(4e-5, 20, 1, 0.1),
        "-lsmdc": Numbers(2e-5, 10, 1, 0.2),
        "-msvd": Numbers(1e-5, 5, 0, 0.2),
        "-ssv2-label": Numbers(5e-5, 10, 0, 0.1),
        "-ssv2-template": Numbers(1e-4, 10, 1, 0.1),
    },
    "large": {
        "": Numbers(2e-5, 7, 1, 0.3),
        "-didemo": Numbers(4e-5, 5, 1, 0.2),
        "-didemo-5m": Numbers(4e-5, 5, 1, 0.3),
        "-didemo-17m": Numbers(4e-5, 5, 1, 0.3),
        "-activitynet": Numbers(4e-5, 20, 1, 0.2),
        "-activitynet-17m": Numbers(4e-5, 20, 1, 0.3),
        "-lsmdc": Numbers(2e-5, 8, 1, 0.2),
        "-msvd": Numbers(1e-5, 3, 0, 0.3),
        "-ssv2-label": Numbers(4e-5, 10, 0, 0.2),
        "-ssv2-label-5m": Numbers(5e-5, 10, 0, 0.2),
        "-ssv2-label-17m": Numbers(5e-5, 10, 0, 0.2),
        "-ssv2-template": Numbers(1e-4, 5, 1, 0.2),
        "-ssv2-template-5m": Numbers(1e-4, 10, 1, 0.2),
        "-ssv2-template-17m": Numbers(1e-4, 8, 1, 0.2),
    },
}


def published(recipe: Recipe, numbers: Numbers, *, suffix: str) -> Recipe:
    """Return the finetuning of a pretraining recipe on a data set: 12 frames, 256 videos an update."""
    convention = CONVENTIONS[suffix.removesuffix("-5m").removesuffix("-17m")]
    recipe = replace(
        recipe,
        model=replace(recipe.model, drop_path=numbers.drop_path, pretrained_grid=_PRETRAINED_GRID),
        data=replace(recipe.data, clip_len=_NUM_FRAMES),
    )
    optim: OptimConfig = replace(
        recipe.optim, lr=numbers.lr, lr_floor=numbers.lr / 100, warmup_epochs=numbers.warmup_epochs
    )
    return retrieving(
        recipe,
        suffix=suffix,
        objective=MatchConfig(max_ids=convention.max_ids, captions=convention.captions),
        optim=optim,
        train=TrainConfig(epochs=numbers.epochs, batch_size=256),
    )


def _published(size: str, suffix: str) -> Callable[[], Recipe]:
    begin = {"base": base, "large": large}[size]
    return lambda: published(begin(), NUMBERS[size][suffix], suffix=suffix)


RECIPES: dict[str, Callable[[], Recipe]] = {
    "umt-vl-tiny-retrieve": tiny_retrieve,
    **{
        f"umt-vl-{size}-retrieve{suffix}": _published(size, suffix)
        for size, of_data in NUMBERS.items()
        for suffix in of_data
    },
}
