"""What the rest of the trainer may ask of a pretraining method.

A method is a folder under ``methods``, whose package is a `MethodPackage` and imports no torch by itself. Its
``recipe.py`` and ``finetune.py`` list recipes, whose ``data.columns`` say which columns the method reads.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.forward_pass import ForwardPass
from vfm.trainer.online_teacher import OpenTeacher
from vfm.trainer.recipes.classify import Augmentation
from vfm.trainer.recipes.recipe import Recipe


class SampleReader(Protocol):
    """Reads and prepares one sample inside a loader worker: NumPy only, small and picklable."""

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the arrays of one sample, always under the same names and with the same shapes.

        Args:
            dataset: the joined columns.
            index: which sample.
            rng: the only source of chance; a function of (seed, epoch, key).
        """


class ClipReader(Protocol):
    """Reads clips of a sample as a backbone wants them; small and picklable like a `SampleReader`."""

    def __call__(self, dataset: Dataset, index: int, times: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arrays of one clip.

        Args:
            dataset: the joined columns.
            index: which sample.
            times: int64 [clip_len], the stored frames to take; -1 is a frame past the end.
        """

    def draw(
        self,
        dataset: Dataset,
        index: int,
        times: np.ndarray,
        *,
        how: Augmentation,
        rng: np.random.Generator,
    ) -> dict[str, np.ndarray]:
        """Return the arrays of ``how.num_draws`` clips of the same frames, changed at random, stacked.

        Readers of frames are given ``how.crop_area``, those of codes ``how.stored_views``.

        Raises:
            UsageError: what is stored cannot be changed like that.
        """

    def spread(
        self, dataset: Dataset, index: int, clips: Sequence[np.ndarray], *, num_crops: int
    ) -> dict[str, np.ndarray]:
        """Return the arrays of the views of a test, clips times crops, stacked along a new first dimension.

        Args:
            dataset: the joined columns.
            index: which sample.
            clips: the frames of each clip, see above.
            num_crops: squares of each clip, from one end of the long side to the other.

        Raises:
            UsageError: there are no such crops of what is stored.
        """


class Backbone(nn.Module, ABC):
    """The encoder of a method: one vector per clip, for finetuning and nearest neighbours.

    Attributes:
        dim: length of that vector.
    """

    dim: int

    @property
    def num_tokens(self) -> int | None:
        """Return the tokens of a clip; None where there are none to tell."""
        return None

    def features(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float [B, dim] for a batch of what the method's `ClipReader` returned."""
        return self.pooled(self.encoded(self.inputs(batch)))

    def tokens(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float [B, N, dim], what the encoder says of the patches of the same clips, not pooled."""
        return self.encoded(self.inputs(batch))

    @abstractmethod
    def inputs(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return what the encoder computes with of a batch: normalized clips [B, 3, T, S, S], or codes."""

    @abstractmethod
    def example_inputs(self, num_clips: int) -> Tensor:
        """Return drawn inputs, always the same ones, for programs that are made of the encoder."""

    @abstractmethod
    def encoded(self, inputs: Tensor) -> Tensor:
        """Return float [B, M, dim], all tokens behind the last block, a class token among them."""

    @abstractmethod
    def pooled(self, encoded: Tensor) -> Tensor:
        """Return float [B, dim] of all tokens, normalized where the encoder does so."""

    @abstractmethod
    def load_pretrained(self, state: Mapping[str, Tensor], *, start: Recipe | None = None) -> None:
        """Take the encoder's weights from a pretraining or finetuning state, resized where shapes allow it.

        Args:
            state: of any run of the method.
            start: the recipe of that run; None where its clips have the shape of this encoder's.

        Raises:
            UsageError: the state is of another encoder.
        """

    @abstractmethod
    def draw_head(self, head: nn.Linear, *, generator: torch.Generator) -> None:
        """Give a linear layer that classifies by `features` its first weights."""

    @abstractmethod
    def no_weight_decay(self, name: str) -> bool:
        """Return whether the parameter of this name is kept out of weight decay in finetuning."""

    @abstractmethod
    def layers_above(self, name: str) -> int:
        """Return which layer the parameter of this name is in, counted from the output; see `Method`."""


class Method(nn.Module, ABC):
    """Model and loss of one way to pretrain; the loop calls it and knows nothing else of it.

    Its state is the official state of the method: keys and shapes load strictly in both directions.

    Attributes:
        prepare: makes one sample, in a loader worker.
        learned_from: what it learns from beside the columns, by name, as hashes; a run goes on with the same.
    """

    prepare: SampleReader
    learned_from: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return scalars: `loss`, the only one with a gradient, and parts worth logging.

        Args:
            batch: what `prepare` returned, stacked along a new first dimension.
        """

    @property
    def num_tokens(self) -> int | None:
        """Return the tokens of a sample's clips, masked ones too; None where there are none to tell."""
        return None

    @property
    def held_out_reader(self) -> SampleReader:
        """Return what reads the samples that `held_out` is given; it draws by their keys alone."""
        return self.prepare

    def held_out(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return figures [B] of samples that are not learned from, or [B, D] of what figures are made of.

        Args:
            batch: what `held_out_reader` returned, stacked along a new first dimension.
        """
        num_samples = len(next(iter(batch.values())))
        return {name: value.expand(num_samples) for name, value in self(batch).items()}

    def held_out_figures(self, rows: Mapping[str, Tensor]) -> dict[str, float]:
        """Return what is logged of all held-out samples, ``loss`` among it: the means of their figures.

        Args:
            rows: of `held_out`, of all samples, float64 [N] or [N, ...].
        """
        return {name: float(values.mean()) for name, values in rows.items()}

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Take all weights of another pretraining run of this method, heads and decoders among them.

        Methods whose weights can be resized do so here. Each shape must be the same otherwise.

        Raises:
            UsageError: the state is of another model.
        """
        load_exactly(self, state)

    @abstractmethod
    def no_weight_decay(self, name: str) -> bool:
        """Return whether the parameter of this name is kept out of weight decay."""

    def lr_factor(self, name: str) -> float:
        """Return by what the learning rate of the parameter of this name is multiplied."""
        del name
        return 1.0

    def layers_above(self, name: str) -> int | None:
        """Return which layer the parameter of this name is in, counted from the output, for layer decay.

        Returns:
            0 for a head and a norm behind the blocks, 1 for the last block, one more than there are blocks
            for what makes tokens; None where there are no layers to tell.
        """
        del name
        return None


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], *, prefix: str = "") -> None:
    """Give a module a state that has each of its tensors, in its shape, and no other.

    Args:
        module: what takes them.
        state: its tensors by name.
        prefix: of the names, as the sentence shall tell them.

    Raises:
        UsageError: a tensor is of another shape, or is in one of the two alone; names the first.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if differing := sorted(name for name in own | found if own.get(name) != found.get(name)):
        name = differing[0]
        raise UsageError(
            f"The weights are of another model: {prefix}{name} is {found.get(name, 'absent')} there and "
            f"{own.get(name, 'absent')} here; repeat the recipe and the settings that they were trained with."
        )
    module.load_state_dict(state)


class MethodPackage(Protocol):
    """The functions of a method's package.

    They are given a recipe whose columns are resolved, and a dataset that was opened with them.
    """

    def build(self, recipe: Recipe, dataset: Dataset, *, open_teacher: OpenTeacher | None = None) -> Method:
        """Return the pretraining method of a recipe, its weights drawn from the recipe's seed.

        Args:
            recipe: of this method.
            dataset: what it learns from.
            open_teacher: makes a teacher for the training loop; None where there is nobody to make it.

        Raises:
            UsageError: the recipe contradicts itself or the data.
        """

    def build_network(self, recipe: Recipe, state: Mapping[str, Tensor]) -> nn.Module:
        """Return the pretraining network of a recipe without a dataset, its weights still to be loaded.

        Args:
            recipe: of pretraining.
            state: that is to be loaded; tells the sizes that come from data, such as a teacher's channels.

        Raises:
            UsageError: the recipe contradicts itself, or the state does not tell a size.
        """

    def build_encoder(self, recipe: Recipe, state: Mapping[str, Tensor]) -> Backbone:
        """Return the encoder of a recipe, of pretraining or not, without a dataset; see `build_network`."""

    def forward_pass(self, recipe: Recipe) -> ForwardPass:
        """Return one clip's pass through the network of a recipe, weights not drawn, as training runs it.

        In pretraining with all that is trained, and with what it sees of a clip; in finetuning the `Backbone`
        without a head. What data decide is as the paper has it, and told.

        Raises:
            UsageError: the recipe contradicts itself.
        """

    def clip_columns(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of a recipe's columns the encoder's clips are read from: not those of a teacher."""

    def build_backbone(self, recipe: Recipe, dataset: Dataset) -> Backbone:
        """Return the encoder alone, for finetuning and nearest neighbours; see `build`."""

    def build_clip_reader(self, recipe: Recipe, dataset: Dataset | None) -> ClipReader:
        """Return what reads the clips that `build_backbone`'s encoder takes, out of `clip_columns` alone.

        Encoders of frames need no dataset for that.
        """
