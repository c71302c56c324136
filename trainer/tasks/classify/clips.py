"""The clips of a sample that a classifier sees: one at random to learn from, several to count on."""

from dataclasses import dataclass

import numpy as np

from vfm.shards.clips import clip_times, random_start, spread_starts
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.method import ClipReader

LABEL = "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomClip:
    """One clip of a labelled sample, from a random start: for training.

    Attributes:
        reader: reads a clip as the encoder wants it.
        clip_len: frames of a clip.
        stride: stored frames from one frame of a clip to the next.
    """

    reader: ClipReader
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
