"""The numbers of SimVTP: its network, what of clips and captions is hidden, its losses."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from vfm.shards.errors import UsageError
from vfm.trainer.methods.videomae import recipe as videomae
from vfm.trainer.recipes.encoder import AutoencoderSizes
from vfm.trainer.recipes.recipe import Recipe, TrainConfig
from vfm.trainer.recipes.retrieve import check_captions

Text = Literal["masked", "clean"]
TextMean = Literal["all", "unpadded"]
Negatives = Literal["random", "similar"]
_BERT_POSITIONS = 512
_COLUMNS = ("frames", "text.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig(AutoencoderSizes):
    """Shape of the encoder, of the decoder of pixels, and of the words (arXiv 2212.03490, section 4.1).

    Attributes:
        text_positions: the longest caption, in ids.
        text_dropout: share of numbers of a word's vector that are dropped in training.
        text_mean: what the mean over a caption counts: ``all`` positions of the batch, padding among them, as
            the released code does, or the ``unpadded`` ones of the caption itself.
    """

    text_positions: int = _BERT_POSITIONS
    text_dropout: float = 0.1
    text_mean: TextMean = "all"

    def __post_init__(self) -> None:
        AutoencoderSizes.__post_init__(self)
        self.check_positive("text_positions")
        if not 0.0 <= self.text_dropout < 1.0:
            raise UsageError(f"model.text_dropout is {self.text_dropout}, but must be in [0, 1).")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is hidden, and what clips and captions are to tell of each other (section 3.2).

    Attributes:
        mask_ratio: share of the cells of a frame that are hidden, the same ones in all frames.
        normalise_target: whether each tubelet and colour is brought to mean 0 and deviation 1.
        word_ratio: probability that a word is hidden.
        max_ids: of a caption; a longer one is cut.
        captions: ``each`` draws one of a sample's captions, ``joined`` makes them one.
        matched_text: whether captions are found and matched with their words hidden, as in the released
            code, or clean, which takes a third more time.
        negatives: which other clip of the batch a caption is said not to belong to: a ``random`` one, as in
            the released code, or more often one that is ``similar`` (Li et al. 2021, arXiv 2107.07651,
            section 3.2).
        temperature: divides the cosines of clips and captions.
        across_ranks: whether clips and captions are told from those of all ranks; of one alone, as in the
            released code.
    """

    mask_ratio: float = 0.9
    normalise_target: bool = True
    word_ratio: float = 0.75
    max_ids: int = _BERT_POSITIONS
    captions: Literal["each", "joined"] = "each"
    matched_text: Text = "masked"
    negatives: Negatives = "random"
    temperature: float = 0.05
    across_ranks: bool = False

    def __post_init__(self) -> None:
        for name in ("mask_ratio", "word_ratio"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise UsageError(f"objective.{name} is {getattr(self, name)}, but must be between 0 and 1.")
        check_captions(max_ids=self.max_ids, temperature=self.temperature)


def base() -> Recipe:
    """The base model on WebVid-2M, 200 epochs (its script), to start from VideoMAE's and BERT's weights."""
    recipe = videomae.base()
    return replace(
        recipe,
        name="simvtp-base",
        method="simvtp",
        model=_with_words(recipe),
        objective=Objective(),
        data=replace(recipe.data, columns=_COLUMNS),
        train=TrainConfig(epochs=200, batch_size=1024, drop_last=True),
    )


def tiny() -> Recipe:
    """A model that learns something on a CPU in minutes; our own configuration, not from the paper."""
    recipe = videomae.tiny()
    return replace(
        recipe,
        name="simvtp-tiny",
        method="simvtp",
        model=replace(_with_words(recipe), text_positions=32, text_mean="unpadded"),
        objective=Objective(mask_ratio=0.75, max_ids=32),
        data=replace(recipe.data, columns=_COLUMNS),
        train=replace(recipe.train, drop_last=True),
    )


def _with_words(recipe: Recipe) -> ModelConfig:
    """Return the network of a recipe of VideoMAE, with captions."""
    return ModelConfig(**asdict(recipe.model))


RECIPES: dict[str, Callable[[], Recipe]] = {"simvtp-tiny": tiny, "simvtp-base": base}
