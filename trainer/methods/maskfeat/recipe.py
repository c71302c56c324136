"""The numbers of MaskFeat: its networks, its mask, its target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Literal, get_args

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import DataConfig, OptimConfig, Recipe, Sampling, TrainConfig

CELL_PX = 32  # side of what a mask hides or shows
_STEM_PX = 4

Growth = Literal["mlp", "attention"]
Pooling = Literal["mean", "class"]
Views = Literal["slowfast", "mmaction2"]
Mask = Literal["cube", "tube", "frames"]
Hog = Literal["maskfeat", "mmselfsup", "skimage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Shape of a multiscale encoder (arXiv 2112.01526, table 2); the frames of a clip are ``data.clip_len``.

    Attributes:
        image_px: side of a frame, in pixels.
        dim: channels of the first block.
        depth: number of blocks.
        num_heads: attention heads of the first block.
        grows_at: blocks that have twice the heads and channels of those before.
        pools_at: blocks that leave half of the rows and columns; pretraining leaves out the last of them.
        kv_stride: rows and columns to one of the first block's keys and values; each pooling halves it.
        growth: where channels double: in the ``attention`` of the growing block, as in supervised models, or
            in the perceptron (``mlp``) of the block before it.
        pooling: what of a clip is classified: the ``mean`` of its patches, or its ``class`` token.
        views: of a finetuned encoder, which squares of frames a test shows it: those of PySlowFast, or of
            MMAction2.
        drop_path: how often the last block is left out in training; earlier ones less, the first never (Huang
            et al. 2016).
    """

    # Not of the encoder but of how it is trained: finetuning takes these from its own recipe.
    OF_TRAINING: ClassVar[tuple[str, ...]] = ("pools_at", "pooling", "views", "drop_path")
    # What weights go with though every shape can be resized: with others, tokens are of other places.
    STRIDES: ClassVar[tuple[str, ...]] = ("pools_at", "kv_stride")
    # What becomes of positions where clips have another shape than those of the pretraining.
    RESHAPING: ClassVar[str] = "its tables of relative positions are resized"
    # How clips are taken of a video where frames are seen as by one or the other.
    SAMPLING_OF_VIEWS: ClassVar[Mapping[str, Sampling]] = MappingProxyType(
        {"slowfast": "linspace", "mmaction2": "looped"}
    )

    image_px: int = 224
    dim: int = 96
    depth: int = 16
    num_heads: int = 1
    grows_at: tuple[int, ...] = (1, 3, 14)
    pools_at: tuple[int, ...] = (1, 3)
    kv_stride: int = 8
    growth: Growth = "mlp"
    pooling: Pooling = "mean"
    views: Views = "slowfast"
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if self.image_px < CELL_PX or self.image_px % CELL_PX:
            raise UsageError(
                f"model.image_px is {self.image_px}, but must be a multiple of {CELL_PX}, the side of what a "
                "mask hides."
            )
        for name in ("dim", "depth", "num_heads", "kv_stride"):
            if getattr(self, name) < 1:
                raise UsageError(f"model.{name} is {getattr(self, name)}, but must be at least 1.")
        if self.dim % self.num_heads:
            raise UsageError(
                f"model.dim is {self.dim} and model.num_heads is {self.num_heads}; "
                "the first must be a multiple of the second."
            )
        if self.views not in get_args(Views):
            raise UsageError(f"model.views is {self.views}, but must be one of {', '.join(get_args(Views))}.")
        for name in ("grows_at", "pools_at"):
            self._check_blocks(name, getattr(self, name))
        if not 0.0 <= self.drop_path < 1.0:
            raise UsageError(f"model.drop_path is {self.drop_path}, but must be in [0, 1).")

    def _check_blocks(self, name: str, blocks: tuple[int, ...]) -> None:
        if list(blocks) != sorted(set(blocks)) or not all(0 < block < self.depth for block in blocks):
            raise UsageError(
                f"model.{name} is {','.join(map(str, blocks))}, but must be numbers of blocks, rising, from "
                f"1 to {self.depth - 1}."
            )
        if name == "pools_at" and self.image_px % self.token_px:
            raise UsageError(
                f"model.pools_at has {len(blocks)} poolings, after which a frame of {self.image_px} px has "
                "no whole number of tokens: leave some out."
            )

    @property
    def frame_px(self) -> int:
        """Side of the square that the network sees."""
        return self.image_px

    @property
    def token_px(self) -> int:
        """Side of what a token behind the last block stands for."""
        return _STEM_PX << len(self.pools_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is masked, and what is told of it (arXiv 2112.09133, sections 3 and 5).

    HOG is read from a column where ``data.columns`` has one, in one of its views, drawn whenever a sample is
    read; otherwise it is made on line, of crops that are drawn as well.

    Attributes:
        mask: ``cube`` hides blocks of space and time; ``tube`` blocks of space, the same in all frames;
            ``frames`` whole frames.
        mask_ratio: share of a clip that is hidden, at most.
        hog: which definition of HOG; that of a column must be the same.
        crop_area: smallest share of a frame's area that a crop has, for HOG on line; None is the middle
            square.
        flip: probability that a clip is mirrored, for HOG on line.
    """

    # Kinds of columns that may be added to those that are read, in place of what is made on line.
    STORABLE: ClassVar[tuple[str, ...]] = ("hog",)

    mask: Mask = "cube"
    mask_ratio: float = 0.4
    hog: Hog = "maskfeat"
    crop_area: float | None = 0.5
    flip: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.mask_ratio < 1.0:
            raise UsageError(f"objective.mask_ratio is {self.mask_ratio}, but must be between 0 and 1.")
        for name, values in (("mask", get_args(Mask)), ("hog", get_args(Hog))):
            if getattr(self, name) not in values:
                raise UsageError(
                    f"objective.{name} is {getattr(self, name)}, but must be one of {', '.join(values)}."
                )
        if self.crop_area is not None and not 0.0 < self.crop_area <= 1.0:
            raise UsageError(
                f"objective.crop_area is {self.crop_area}, but must be above 0, at most 1, or none."
            )
        if not 0.0 <= self.flip <= 1.0:
            raise UsageError(f"objective.flip is {self.flip}, but must be in [0, 1].")
        if self.crop_area is None and self.flip:
            raise UsageError(
                f"objective.flip is {self.flip}, and nothing is drawn where objective.crop_area is none: set "
                "objective.flip=0, or objective.crop_area=1."
            )


def small() -> Recipe:
    """MViT-S on Kinetics-400, 300 epochs (PySlowFast's configuration of that name)."""
    return Recipe(
        name="maskfeat-mvit-s",
        method="maskfeat",
        model=ModelConfig(),
        objective=Objective(),
        data=DataConfig(columns=("frames",), clip_len=16, sampling="linspace", seconds_apart=4 / 30),
        optim=OptimConfig(
            lr=1e-4,
            min_lr=1e-6,
            lr_batch_size=32,
            weight_decay=0.05,
            clip_norm=0.02,
            warmup_epochs=10,
            warmup_start=1e-6,
            schedule="cosine",
        ),
        train=TrainConfig(epochs=300, batch_size=512),
    )


def large() -> Recipe:
    """MViT-L on Kinetics-400, 300 epochs as its configuration has it; the published weights are of 800."""
    recipe = small()
    blocks = {"depth": 48, "grows_at": (2, 8, 44), "pools_at": (2, 8)}
    model = replace(recipe.model, dim=144, num_heads=2, **blocks)
    return replace(recipe, name="maskfeat-mvit-l", model=model)


def tiny() -> Recipe:
    """A model that learns something on a CPU in minutes; our own configuration, not from the paper."""
    recipe = small()
    blocks = {"depth": 5, "grows_at": (1, 2, 4), "pools_at": (1, 2)}
    return replace(
        recipe,
        name="maskfeat-mvit-tiny",
        model=replace(recipe.model, image_px=128, dim=24, **blocks),
        data=replace(recipe.data, clip_len=8, seconds_apart="any", stride=1),
        optim=replace(
            recipe.optim,
            lr=1e-3,
            min_lr=1e-5,
            lr_batch_size=None,
            warmup=0.05,
            warmup_epochs=None,
            clip_norm=1.0,
        ),
        train=TrainConfig(epochs=20, batch_size=16),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "maskfeat-mvit-tiny": tiny,
    "maskfeat-mvit-s": small,
    "maskfeat-mvit-l": large,
}
