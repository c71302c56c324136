"""What retrieval and search may ask of a method: vectors of clips and of captions, and whether they match."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vfm.shards.reading.dataset import Dataset
from vfm.trainer.method import Backbone
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.retrieve import RetrieveConfig
from vfm.trainer.video_text.captions import CAPTION_ID, TextColumn
from vfm.trainer.video_text.contrast import contrast_loss, unit


class VideoTextModel(nn.Module, ABC):
    """Two encoders whose vectors are compared, by their cosine unless they say otherwise.

    Attributes:
        dim: length of a vector.
    """

    dim: int

    def pair_losses(
        self, batch: Mapping[str, Tensor], *, ids: Tensor, is_text: Tensor, config: RetrieveConfig
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return `loss` and its parts worth logging, and the similarities of captions and clips [B, B].

        Args:
            batch: what the method's clip reader returned, and the numbers of captions.
            ids: int64 [B, L], see `text_vectors`.
            is_text: bool [B, L].
            config: of the task.
        """
        video, text = self.video_vectors(batch), self.text_vectors(ids, is_text)
        loss = contrast_loss(
            text,
            video,
            temperature=config.temperature,
            caption_ids=batch[CAPTION_ID],
            across_ranks=config.across_ranks,
        )
        return {"loss": loss}, self.similarity(text.detach(), video.detach())

    def similarity(self, text: Tensor, video: Tensor) -> Tensor:
        """Return how well every text and every video fit, float32 [T, V] in -1..1.

        Args:
            text: float [T, dim], of `text_vectors`.
            video: float [V, dim], of `video_vectors`, or means of several.
        """
        return unit(text) @ unit(video).T

    def temperature(self, config: RetrieveConfig) -> float:
        """Return what similarities are divided by in training."""
        return config.temperature

    @property
    def num_tokens(self) -> int | None:
        """Return the tokens of a clip; None where there are none to tell."""
        return None

    @abstractmethod
    def video_vectors(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float [B, dim] for a batch of what the method's clip reader returned."""

    @abstractmethod
    def text_vectors(self, ids: Tensor, is_text: Tensor) -> Tensor:
        """Return float [B, dim] of captions.

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


class MatchingModel(VideoTextModel):
    """A model that can look at a video and a caption together as well, which costs more and tells more."""

    @abstractmethod
    def video_tokens(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float [B, N, D] of clips, see `video_vectors`."""

    @abstractmethod
    def text_tokens(self, ids: Tensor, is_text: Tensor) -> Tensor:
        """Return float [B, L, C] of captions, see `text_vectors`."""

    @abstractmethod
    def match_logits(
        self, read: Tensor, is_text: Tensor, *, tokens: Tensor, which: Tensor | None = None
    ) -> Tensor:
        """Return whether captions and clips belong together, float [P, 2], the second number for yes.

        Args:
            read: float [P, L, C], of `text_tokens`.
            is_text: bool [P, L].
            tokens: float [V, N, D], of `video_tokens`.
            which: int64 [P], the clip of each caption; None is one for each.
        """


@runtime_checkable
class StartsFromBert(Protocol):
    """A pretraining `Method` whose captions can be read with a pretrained BERT from the start."""

    @property
    def bert_parts(self) -> Mapping[str, nn.Module]:
        """Return modules by how the names of their tensors begin in a BERT of Hugging Face."""


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
