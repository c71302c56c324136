"""What retrieval and search may ask of a method: vectors of clips and of captions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from vfm.shards.reading.dataset import Dataset
from vfm.trainer.method import Backbone
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.video_text.captions import TextColumn


class VideoTextModel(nn.Module, ABC):
    """Two encoders whose vectors are compared by their cosine.

    Attributes:
        dim: length of a vector.
    """

    dim: int

    @property
    def num_tokens(self) -> int | None:
        """Return the tokens of a clip; None where there are none to tell."""
        return None

    @abstractmethod
    def video_vectors(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float [B, dim] for a batch of what the method's clip reader returned, not normalized."""

    @abstractmethod
    def text_vectors(self, ids: Tensor, is_text: Tensor) -> Tensor:
        """Return float [B, dim] of captions, not normalized.

        Args:
            ids: int64 [B, L], as long as the longest caption.
            is_text: bool [B, L], False where padded.
        """

    @abstractmethod
    def load_pretrained(self, state: Mapping[str, Tensor], *, start: Recipe | None = None) -> None:
        """Take the encoders of a pretraining or finetuning state; see `Backbone.load_pretrained`.

        Raises:
            UsageError: the state is of other encoders.
        """

    @abstractmethod
    def no_weight_decay(self, name: str) -> bool:
        """Return whether the parameter of this name is kept out of weight decay."""

    @abstractmethod
    def layers_above(self, name: str) -> int:
        """Return which layer the parameter of this name is in, counted from the output; see `Method`."""


class VideoTextPackage(Protocol):
    """The functions of a method's package, beside those of a `MethodPackage`, where captions are read."""

    def build_video_text(self, recipe: Recipe, column: TextColumn) -> VideoTextModel:
        """Return the encoders of a recipe of finetuning, their weights drawn from the recipe's seed.

        Raises:
            UsageError: the recipe contradicts itself.
        """

    def build_video_text_network(self, recipe: Recipe, state: Mapping[str, Tensor]) -> VideoTextModel:
        """Return the same encoders without a dataset, their weights still to be loaded.

        Args:
            recipe: of finetuning to retrieve.
            state: that is to be loaded, as a run saves it; tells how many words there are.

        Raises:
            UsageError: the recipe contradicts itself, or the state has no words.
        """

    def vocab_size_in(self, state: Mapping[str, Tensor]) -> int:
        """Return how many words a state of pretraining, or of finetuning to retrieve, knows.

        Raises:
            UsageError: it knows none.
        """

    def build_backbone(self, recipe: Recipe, dataset: Dataset) -> Backbone:
        """See `MethodPackage`."""


def is_text_of(num_ids: Tensor, *, length: int) -> Tensor:
    """Return which of so many positions are a caption's own, bool [B, length], of int64 [B]."""
    return torch.arange(length, device=num_ids.device) < num_ids[:, None]
