"""The numbers of UMT's first stage: its student, its mask, its loss."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.encoder import EncoderSizes
from vfm.trainer.recipes.recipe import DataConfig, OptimConfig, Recipe, TrainConfig

Mask = Literal["attention", "tube", "random"]
Teacher = Literal["stored", "online"]
Precision = Literal["fp32", "bf16", "fp16"]
Distance = Literal["l2", "mse", "smooth_l1"]
Grid = tuple[int, int, int]
Views = Literal["umt", "mmaction2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentSizes(EncoderSizes):
    """Shape of the student (arXiv 2303.16058, appendix; a token is one patch of one frame).

    Attributes:
        num_levels: how many blocks are led to the teacher's, the last one among them.
        level_interval: blocks from one of them to the next; where it is no whole number, rounded towards the
            last block, as the published code does.
        pretrained_grid: of a finetuned encoder, times, rows and columns of tokens that it was pretrained on,
            whose table of positions is stretched to its own grid; None is its own. A finetuning recipe that
            gives it is for clips of another shape than those of the pretraining.
    """

    RESHAPING: ClassVar[str] = "its table of positions is stretched"

    drop_path: float = 0.1
    num_levels: int = 6
    level_interval: float = 1
    pretrained_grid: Grid | None = None

    def __post_init__(self) -> None:
        EncoderSizes.__post_init__(self)
        self.check_positive("num_levels")
        if self.pretrained_grid is not None and min(self.pretrained_grid) < 1:
            grid = ",".join(map(str, self.pretrained_grid))
            raise UsageError(
                f"model.pretrained_grid is {grid}, but must be three numbers of at least 1, or none."
            )
        needed = int((self.num_levels - 1) * self.level_interval) + 1
        if self.level_interval < 1 or needed > self.depth:
            raise UsageError(
                f"model.num_levels is {self.num_levels} and model.level_interval {self.level_interval:g}, "
                f"which takes {needed} blocks, and model.depth is {self.depth}: use fewer levels, at least 1 "
                "block apart."
            )

    @property
    def has_own_shape(self) -> bool:
        """Whether a finetuning recipe is for clips of its own shape, not for those of the pretraining."""
        return self.pretrained_grid is not None

    def begun(self, *, clip_len: int) -> Self:
        """Return the sizes of an encoder that starts from one of these, which reads so many frames."""
        side = self.image_px // self.patch_px
        return replace(self, pretrained_grid=self.pretrained_grid or (clip_len, side, side))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig(StudentSizes):
    """Shape of the first stage's student, and of the encoder that is finetuned.

    Attributes:
        views: of a finetuned encoder, how frames become what it sees. ``mmaction2`` is the port of MMAction2:
            pixels of mean .45 and deviation .225 in place of ImageNet's, and squares of a test as there.
    """

    views: Views = "umt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is hidden, and how far the student is from the teacher (arXiv 2303.16058, section 3.1).

    Attributes:
        mask: ``attention`` shows the patches that the teacher attends to more often, frame by frame;
            ``tube`` hides the same patches of all frames, ``random`` any.
        mask_ratio: share of the tokens that are hidden, of each frame and, with ``random``, of the clip.
        distance: ``l2`` is the squared distance of unit vectors; ``mse`` and ``smooth_l1`` are means over
            their channels as well.
        teacher: ``stored`` reads its features from a column; ``online`` computes them in the loop, with the
            teacher of the column that is read, or without a column with `online_model`.
        online_model: a model of timm, where no column is read.
        online_weights: a file of its weights; None downloads timm's.
        online_precision: of its products, where no column tells it.
    """

    mask: Mask = "attention"
    mask_ratio: float = 0.8
    distance: Distance = "l2"
    teacher: Teacher = "stored"
    online_model: str | None = None
    online_weights: str | None = None
    online_precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if not 0.0 <= self.mask_ratio < 1.0:
            raise UsageError(
                f"objective.mask_ratio is {self.mask_ratio}, but must be 0 or more and below 1: "
                "a part of the clip has to stay visible."
            )
        if self.teacher == "stored" and (self.online_model or self.online_weights):
            raise UsageError(
                "objective.online_model and objective.online_weights are for a teacher on line: add "
                "`--set objective.teacher=online`, or leave them out."
            )


def base() -> Recipe:
    """The base student of CLIP-B/16 on Kinetics-710, 200 epochs (its script of that name runs 201)."""
    return Recipe(
        name="umt-base",
        method="umt",
        model=ModelConfig(),
        objective=Objective(),
        data=DataConfig(columns=("frames", "clip.*"), clip_len=8, sampling="sparse"),
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
        train=TrainConfig(epochs=201, batch_size=2048),
    )


def large() -> Recipe:
    """The large student of CLIP-L/14 on Kinetics-710, 200 epochs."""
    recipe = base()
    model = replace(recipe.model, dim=1024, depth=24, num_heads=16, drop_path=0.2)
    return replace(recipe, name="umt-large", model=model)


def tiny() -> Recipe:
    """A student that learns something on a CPU in minutes; our own configuration, not from the paper."""
    recipe = base()
    return replace(
        recipe,
        name="umt-tiny",
        model=ModelConfig(image_px=160, dim=192, depth=4, num_heads=3, drop_path=0.0, num_levels=1),
        optim=replace(
            recipe.optim, lr=1e-3, min_lr=1e-5, lr_batch_size=None, warmup=0.05, warmup_epochs=None
        ),
        train=TrainConfig(epochs=40, batch_size=16),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"umt-tiny": tiny, "umt-base": base, "umt-large": large}
