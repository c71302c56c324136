"""The numbers of downstream tasks, apart from the tasks so that listing recipes needs no torch.

A task is a file ``trainer/tasks/<name>.py`` with ``build(recipe, dataset)`` that returns a module in the
shape of `vfm.trainer.method.Method`: the training loop cannot tell it from a pretraining method.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig

Resize = Literal["bilinear", "bicubic"]
StoredViews = Literal["first", "unmirrored", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How a clip is changed before it is learned from; one draw for all frames.

    Pixels are changed by all but the last; of codes, which cannot be, another stored view is read.

    Attributes:
        rand_augment: a policy of RandAugment as timm writes them, such as ``rand-m7-n4-mstd0.5-inc1``.
        crop_area: smallest share of a frame's area that a random crop has; None is the middle square.
        resize: filter by which a random crop becomes a square.
        flip: probability that a clip is mirrored.
        erase: probability that a box of it is replaced by noise.
        num_draws: clips made of one sample whenever it is read, so that what was decoded pays more than once
            (Hoffer et al. 2020).
        stored_views: of which views of a column one is drawn, each with the same probability, whenever a
            sample is read: always the ``first``, those that are ``unmirrored``, or ``any``.
    """

    rand_augment: str | None = None
    crop_area: float | None = None
    resize: Resize = "bilinear"
    flip: float = 0.0
    erase: float = 0.0
    num_draws: int = 1
    stored_views: StoredViews = "first"

    @property
    def is_drawn(self) -> bool:
        """Whether a reader draws clips, ``num_draws`` of them, and not the one that there is."""
        return self.crop_area is not None or self.stored_views != "first"

    def __post_init__(self) -> None:
        for name in ("flip", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise _misfit(f"augment.{name}", getattr(self, name), "in [0, 1]")
        area, policy = self.crop_area, self.rand_augment
        if area is not None and not 0 < area <= 1:
            raise _misfit("augment.crop_area", area, "above 0, at most 1, or none")
        if self.num_draws < 1:
            raise _misfit("augment.num_draws", self.num_draws, "at least 1")
        if area is None and (policy is not None or self.flip or self.erase or self.num_draws > 1):
            raise _misfit(
                "augment.crop_area", "none", "given where clips are changed (1 keeps most of a frame)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyConfig:
    """Classification of a whole sample.

    Attributes:
        last_dropout: probability that a feature is dropped before the classifying layer.
        label_smoothing: share of the target given to all classes alike.
        augment: how pixels are changed.
        mixup: both parameters of the beta distribution of which shares of two clips are drawn (Zhang et al.
            2018); 0 mixes none.
        cutmix: the same of a box of one clip that replaces the other's (Yun et al. 2019).
    """

    last_dropout: float = 0.0
    label_smoothing: float = 0.0
    augment: Augmentation = field(default_factory=Augmentation)
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for name in ("last_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise _misfit(name, getattr(self, name), "in [0, 1)")
        for name in ("mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise _misfit(name, getattr(self, name), "0 or more")


def classifying(
    recipe: Recipe, *, suffix: str = "", objective: ClassifyConfig, optim: OptimConfig, train: TrainConfig
) -> Recipe:
    """Return the finetuning of a pretraining recipe, called ``NAME-classify`` and then ``suffix``.

    It is validated once an epoch.
    """
    name = f"{recipe.name}-classify{suffix}"
    train = replace(train, validate_epochs=1)
    return replace(recipe, name=name, task="classify", objective=objective, optim=optim, train=train)


def published_optim(
    *, lr: float, lr_batch_size: int, warmup_start: float = 0.0, warmup_epochs: float = 5
) -> OptimConfig:
    """Return the optimizer that UMT and VideoMAE finetune with; see `OptimConfig`."""
    return OptimConfig(
        lr=lr,
        lr_batch_size=lr_batch_size,
        min_lr=1e-6,
        weight_decay=0.05,
        clip_norm=None,
        warmup_epochs=warmup_epochs,
        warmup_start=warmup_start,
        warmup_peak="last",
        schedule="cosine",
        layer_decay=0.75,
    )


def published(*, num_draws: int, flip: float = 0.5) -> ClassifyConfig:
    """Return what UMT and VideoMAE finetune with.

    Args:
        num_draws: clips made of one sample whenever it is read.
        flip: probability that a clip is mirrored; 0 where classes tell left from right.
    """
    augment = Augmentation(
        rand_augment="rand-m7-n4-mstd0.5-inc1", crop_area=0.08, flip=flip, erase=0.25, num_draws=num_draws
    )
    return ClassifyConfig(label_smoothing=0.1, augment=augment, mixup=0.8, cutmix=1.0)


def _misfit(name: str, value: object, allowed: str) -> UsageError:
    key = f"objective.{name}"
    return UsageError(f"{key} is {value}, but must be {allowed}: change it with `--set {key}=...`.")
