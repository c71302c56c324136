"""A clip of a sample and one of its captions: at random to learn from, fixed ones to validate on."""

from dataclasses import dataclass

import numpy as np

from vfm.shards.reading.dataset import Dataset
from vfm.trainer.tasks.classify.clips import LABEL, RandomClip, SpreadClips
from vfm.trainer.video_text.captions import CaptionReader


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomPair:
    """A clip and a caption of a sample, both drawn at random: for training.

    Attributes:
        clips: reads the clip.
        captions: reads the caption.
    """

    clips: RandomClip
    captions: CaptionReader

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the arrays of both; where clips are drawn R of them, [R, ...], with their one caption."""
        clip, caption = self.clips(dataset, index, rng), self.captions(dataset, index, rng)
        del clip[LABEL]
        if self.clips.augment.is_drawn:
            num_draws = self.clips.augment.num_draws
            caption = {name: np.stack([array] * num_draws) for name, array in caption.items()}
        return {**clip, **caption}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPair:
    """The middle clip of a sample and its first caption. Nothing is left to chance.

    Attributes:
        pair: what training read.
    """

    pair: RandomPair

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the arrays of the clip, [1, ...], and of the caption."""
        spread = SpreadClips(random_clip=self.pair.clips, num_clips=1)
        clip = spread(dataset, index, rng)
        del clip[LABEL]
        return {**clip, **self.pair.captions.of(self.pair.captions.rows(dataset, index)[0])}
