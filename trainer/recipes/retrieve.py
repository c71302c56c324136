"""The numbers of finetuning to retrieve, apart from the task so that listing recipes needs no torch."""

from dataclasses import dataclass, field, replace
from typing import Literal

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.classify import Augmentation
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig

_SHORTEST = 3  # a mark at the start, a word, a mark at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveConfig:
    """Videos by their captions, and captions by their videos.

    Attributes:
        max_ids: of a caption; a longer one is cut.
        captions: ``each`` learns from one of a video's captions at a time and asks for the video by every
            one; ``joined`` makes them one paragraph.
        temperature: divides the cosines of clips and captions.
        across_ranks: whether clips and captions are told from those of all ranks, or of one alone.
        augment: how pixels are changed.
    """

    max_ids: int = 512
    captions: Literal["each", "joined"] = "each"
    temperature: float = 0.05
    across_ranks: bool = False
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_captions(max_ids=self.max_ids, temperature=self.temperature)


def check_captions(*, max_ids: int, temperature: float) -> None:
    """Refuse numbers by which captions could not be read or compared.

    Raises:
        UsageError: no word has room, or cosines would be divided by nothing.
    """
    if max_ids < _SHORTEST:
        raise UsageError(f"objective.max_ids is {max_ids}, but must be at least 3: marks and a word.")
    if temperature <= 0:
        raise UsageError(f"objective.temperature is {temperature}, but must be above 0.")


def retrieving(
    recipe: Recipe, *, suffix: str = "", objective: RetrieveConfig, optim: OptimConfig, train: TrainConfig
) -> Recipe:
    """Return the finetuning of a pretraining recipe, called ``NAME-retrieve`` and then ``suffix``.

    It reads frames and captions alone and is validated once an epoch, which ends with its last whole batch.
    """
    data = replace(recipe.data, columns=("frames", "text.*"))
    name = f"{recipe.name}-retrieve{suffix}"
    train = replace(train, validate_epochs=1, drop_last=True)
    return replace(
        recipe, name=name, task="retrieve", objective=objective, data=data, optim=optim, train=train
    )
