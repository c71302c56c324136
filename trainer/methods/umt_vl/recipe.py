"""The numbers of UMT's second stage: its two encoders and what joins them, what is hidden, its losses."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from vfm.shards.errors import UsageError
from vfm.trainer.methods.umt import recipe as umt
from vfm.trainer.recipes.classify import Augmentation
from vfm.trainer.recipes.recipe import DataConfig, OptimConfig, Recipe, TrainConfig
from vfm.trainer.recipes.retrieve import check_captions

Negatives = Literal["hard", "random"]
_COLUMNS = ("frames", "clip.*", "text.*")
# What is seen of a frame: it is squeezed in tests, so it is in training, too.
AUGMENT = Augmentation(crop_area=0.5, resize="bicubic", flip=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig(umt.StudentSizes):
    """Shape of the student, of the BERT that reads captions, and of what joins them (section 3.3).

    Attributes:
        text_dim: channels of a word.
        text_depth: layers of the BERT.
        text_heads: attention heads of each.
        text_positions: the longest caption, in ids.
        text_dropout: share of numbers, and of attention weights, that are dropped there in training.
        text_init_std: deviation of the first weights of its layers; what starts from BERT has those of new
            ones alone. BERT's 0.02 is for 768 channels: of 96, what looks at the video would add next to
            nothing to a word, and matching be learned late or never.
        fusion_layer: the first layer that looks at the video as well; those before it read captions alone.
        proj_dim: channels in which videos and captions are compared.
        stretch_time: of a finetuned encoder, whether its table of positions is the one of the pretraining's
            frames, stretched, in place of one that is computed for its own frames.
    """

    RESHAPING: ClassVar[str] = "its table of positions is computed anew, unless model.stretch_time is true"

    READS_IMAGES: ClassVar[bool] = True

    text_dim: int = 768
    text_depth: int = 12
    text_heads: int = 12
    text_positions: int = 512
    text_dropout: float = 0.1
    text_init_std: float = 0.02
    fusion_layer: int = 9
    proj_dim: int = 512
    stretch_time: bool = False

    def __post_init__(self) -> None:
        umt.StudentSizes.__post_init__(self)
        self.check_multiple("text_dim", "text_heads")
        self.check_positive("text_positions", "proj_dim")
        if not 0.0 <= self.text_dropout < 1.0:
            raise UsageError(f"model.text_dropout is {self.text_dropout}, but must be in [0, 1).")
        if not self.text_init_std > 0.0:
            raise UsageError(f"model.text_init_std is {self.text_init_std}, but must be above 0.")
        if not 1 <= self.fusion_layer < self.text_depth:
            raise UsageError(
                f"model.fusion_layer is {self.fusion_layer} and model.text_depth {self.text_depth}: the "
                "video has to come in at layer 1 or later, and before the end."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective(umt.Objective):
    """What is hidden, and what videos and captions are to tell of each other (section 3.3).

    Attributes:
        image_mask_ratio: the same share, of an image.
        word_ratio: probability that a word is hidden.
        max_ids: of a caption; a longer one is cut.
        captions: ``each`` draws one of a sample's captions, ``joined`` makes them one.
        negatives: which videos and captions of the batch are said not to belong together: more often those
            that are taken for right, ``hard``, or ``random`` ones.
        temperature: divides the cosines of videos and captions; the one to begin with, as it is learned.
        across_ranks: whether videos and captions are told from those of all ranks, or of one alone.
    """

    image_mask_ratio: float = 0.5
    word_ratio: float = 0.5
    max_ids: int = 32
    captions: Literal["each", "joined"] = "each"
    negatives: Negatives = "hard"
    temperature: float = 0.07
    across_ranks: bool = True

    def __post_init__(self) -> None:
        umt.Objective.__post_init__(self)
        if not 0.0 <= self.image_mask_ratio < 1.0:
            raise UsageError(
                f"objective.image_mask_ratio is {self.image_mask_ratio}, but must be 0 or more and below 1."
            )
        if not 0.0 < self.word_ratio < 1.0:
            raise UsageError(f"objective.word_ratio is {self.word_ratio}, but must be between 0 and 1.")
        check_captions(max_ids=self.max_ids, temperature=self.temperature)


def base() -> Recipe:
    """The base model, 10 epochs on 5, 17 or 25 million pairs, from the first stage and BERT (its script)."""
    return Recipe(
        name="umt-vl-base",
        method="umt_vl",
        model=ModelConfig(),
        objective=Objective(),
        data=DataConfig(columns=_COLUMNS, clip_len=4, sampling="parts"),
        optim=OptimConfig(
            lr=1e-4,
            lr_floor=1e-6,
            weight_decay=0.02,
            clip_norm=None,
            warmup_epochs=1,
            schedule="cosine",
        ),
        train=TrainConfig(epochs=10, batch_size=2048, drop_last=True),
    )


def large() -> Recipe:
    """The large model, from the first stage and BERT-large."""
    recipe = base()
    sizes = {"dim": 1024, "depth": 24, "num_heads": 16, "drop_path": 0.2}
    words = {"text_dim": 1024, "text_depth": 24, "text_heads": 16, "fusion_layer": 19, "proj_dim": 768}
    return replace(
        recipe,
        name="umt-vl-large",
        model=replace(recipe.model, **sizes, **words),
        train=replace(recipe.train, batch_size=4096),
    )


def tiny() -> Recipe:
    """A model that learns something on a CPU in minutes; our own configuration, not from the paper."""
    recipe = base()
    student = umt.tiny().model
    sizes = {name: getattr(student, name) for name in ("image_px", "dim", "depth", "num_heads", "num_levels")}
    words = {"text_dim": 96, "text_depth": 4, "text_heads": 3, "text_positions": 32, "fusion_layer": 2}
    few = {"drop_path": 0.0, "text_dropout": 0.0, "text_init_std": 0.06}
    return replace(
        recipe,
        name="umt-vl-tiny",
        model=replace(recipe.model, **sizes, **words, **few, proj_dim=64),
        optim=replace(recipe.optim, lr=1e-3, lr_floor=1e-5, warmup=0.1, warmup_epochs=None),
        train=TrainConfig(epochs=20, batch_size=16, drop_last=True),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"umt-vl-tiny": tiny, "umt-vl-base": base, "umt-vl-large": large}
