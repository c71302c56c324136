"""The clips of a sample that a classifier sees: one at random to learn from, several to count on."""

from dataclasses import dataclass

import numpy as np

from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.clip_sampling import ClipSampling
from vfm.trainer.method import ClipReader
from vfm.trainer.recipes.classify import Augmentation

CLIP, ERASED, LABEL = "clip", "erased", "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomClip:
    """One clip of a labelled sample, drawn at random: for training.

    Attributes:
        reader: reads a clip as the encoder wants it.
        sampling: which frames it may hold.
        augment: how it is changed.
    """

    reader: ClipReader
    sampling: ClipSampling
    augment: Augmentation = Augmentation()

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the clip's arrays and `label`, int64 []; with augmentation R of them, [R, ...]."""
        times = self.sampling.random(int(dataset.num_frames[index]), rng=rng)
        label = dataset.class_indices[index]
        if not self.augment.is_drawn:
            return {**self.reader(dataset, index, times), LABEL: label}
        drawn = self.reader.draw(dataset, index, times, how=self.augment, rng=rng)
        return {**drawn, LABEL: np.repeat(label, self.augment.num_draws)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadClips:
    """Several clips of a sample, from its first frame to its last: for evaluation. Nothing is left to chance.

    Attributes:
        random_clip: what training read.
        num_clips: how many.
        num_crops: squares of each.
    """

    random_clip: RandomClip
    num_clips: int
    num_crops: int = 1

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the views' arrays, stacked along a new first dimension K, and `label`, int64 []."""
        del rng
        reader, sampling = self.random_clip.reader, self.random_clip.sampling
        clips = sampling.spread(int(dataset.num_frames[index]), num_clips=self.num_clips)
        arrays = reader.spread(dataset, index, clips, num_crops=self.num_crops)
        return {**arrays, LABEL: dataset.class_indices[index]}
