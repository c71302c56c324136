"""Name the class of a sample: an encoder, one linear layer, and several clips of it when it counts."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.shards.clips import clip_times, random_start, spread_starts
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer import methods
from vfm.trainer.method import Backbone, ClipReader, Method
from vfm.trainer.recipes.classify import ClassifyConfig
from vfm.trainer.recipes.recipe import Recipe

LABEL = "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomClip:
    """One clip of a labelled sample, from a random start: for training.

    Attributes:
        reader: reads a clip as the encoder wants it.
        column: the column it reads.
        clip_len: frames of a clip.
        stride: stored frames from one frame of a clip to the next.
    """

    reader: ClipReader
    column: str
    clip_len: int
    stride: int

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the clip's arrays and `label`, int64 []."""
        span = {"clip_len": self.clip_len, "stride": self.stride}
        num_frames = int(dataset.num_frames[index])
        times = clip_times(random_start(num_frames, **span, rng=rng), num_frames=num_frames, **span)
        return {**self.reader(dataset, index, times), LABEL: dataset.class_indices[index]}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadClips:
    """Several clips of a sample, from its first frame to its last: for evaluation. Nothing is left to chance.

    Attributes:
        random_clip: what training read.
        num_clips: how many.
    """

    random_clip: RandomClip
    num_clips: int

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the clips' arrays, stacked along a new first dimension K, and `label`, int64 []."""
        del rng
        clip = self.random_clip
        span = {"clip_len": clip.clip_len, "stride": clip.stride}
        num_frames = int(dataset.num_frames[index])
        starts = spread_starts(num_frames, **span, num_clips=self.num_clips)
        read = [
            clip.reader(dataset, index, clip_times(start, num_frames=num_frames, **span)) for start in starts
        ]
        arrays = {name: np.stack([one[name] for one in read]) for name in read[0]}
        return {**arrays, LABEL: dataset.class_indices[index]}


class Classify(Method):
    """Encoder, dropout, and a linear layer that starts as the encoder says; keys `backbone.*` and `cls_fc.*`.

    Args:
        backbone: the encoder.
        num_classes: classes to tell apart.
        config: dropout and label smoothing.
        prepare: reads training clips.
        seed: of the linear layer's first weights.
    """

    def __init__(
        self, backbone: Backbone, *, num_classes: int, config: ClassifyConfig, prepare: RandomClip, seed: int
    ) -> None:
        super().__init__()
        self.prepare: RandomClip = prepare
        self.columns = (prepare.column,)
        self.label_smoothing = config.label_smoothing
        self.backbone = backbone
        self.dropout = nn.Dropout(config.last_dropout)
        self.cls_fc = nn.Linear(backbone.dim, num_classes)
        # The encoder is drawn from the seed itself; the head shall not begin with the same numbers.
        backbone.draw_head(self.cls_fc, generator=torch.Generator().manual_seed(seed + 1))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, the mean cross entropy over clips, and `accuracy` in 0..1.

        Args:
            batch: arrays of `RandomClip`, stacked.
        """
        logits = self.logits(batch)
        loss = functional.cross_entropy(logits, batch[LABEL], label_smoothing=self.label_smoothing)
        is_right = logits.detach().argmax(1) == batch[LABEL]
        return {"loss": loss, "accuracy": is_right.float().mean()}

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float32 [B, classes], one row per clip."""
        scores: Tensor = self.cls_fc(self.dropout(self.backbone.features(batch)))
        return scores.float()

    def view_logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float32 [B, K, classes].

        Args:
            batch: arrays of `SpreadClips`, stacked: [B, K, ...].
        """
        views = {name: array for name, array in batch.items() if name != LABEL}
        num_samples, num_views = next(iter(views.values())).shape[:2]
        flat = self.logits({name: array.flatten(0, 1) for name, array in views.items()})
        return flat.view(num_samples, num_views, -1)

    def spread(self, num_clips: int) -> SpreadClips:
        """Return what reads `num_clips` clips of a sample for `view_logits`."""
        return SpreadClips(random_clip=self.prepare, num_clips=num_clips)

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: biases, and what the encoder names."""
        return "bias" in name or self.backbone.no_weight_decay(name)


def merge_views(logits: Tensor) -> Tensor:
    """Return probabilities [B, classes] from logits [B, K, classes]: the mean of the views' softmax."""
    return logits.float().softmax(-1).mean(1)


def view_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy [B] of each sample, the mean over its views.

    Args:
        logits: [B, K, classes].
        labels: int64 [B].
    """
    every = functional.cross_entropy(
        logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1]), reduction="none"
    )
    return every.view(logits.shape[:2]).mean(1)


def build(recipe: Recipe, dataset: Dataset) -> Classify:
    """Return the classifier of a recipe, its encoder drawn from the recipe's seed.

    Call `backbone.load_pretrained` on it to start from pretrained weights.

    Args:
        recipe: a recipe of this task, its column resolved.
        dataset: the labelled samples to learn from.

    Raises:
        UsageError: samples without a label, or fewer than two classes.
    """
    _check_labels(dataset)
    module = importlib.import_module(f"{methods.__name__}.{recipe.method}")
    prepare = RandomClip(
        reader=module.build_clip_reader(recipe, dataset),
        column=recipe.data.column,
        clip_len=recipe.data.clip_len,
        stride=recipe.data.known_stride,
    )
    backbone = module.build_backbone(recipe, dataset)
    return Classify(
        backbone,
        num_classes=len(dataset.classes),
        config=recipe.objective,
        prepare=prepare,
        seed=recipe.train.seed,
    )


def _check_labels(dataset: Dataset) -> None:
    if len(dataset.classes) < 2:
        raise UsageError(
            f"The dataset has {len(dataset.classes)} classes and telling classes apart needs two: "
            "give `vfm extract` a list with labels."
        )
    num_unknown = int((dataset.class_indices < 0).sum())
    if num_unknown:
        raise UsageError(
            f"{num_unknown} of {len(dataset)} samples have no label: train on the labelled ones alone."
        )
