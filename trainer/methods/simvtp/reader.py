"""From a sample to what SimVTP reads: a clip and its tubes, a caption and its hidden words."""

from dataclasses import dataclass

import numpy as np

from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.tube_masked_clips import TubeMaskedClips
from vfm.trainer.video_text.captions import IDS, CaptionReader, masked_words

LABELS = "labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainReader:
    """Draws a clip and one caption of a sample, and what of them is hidden.

    Attributes:
        clips: reads the clip.
        captions: reads the caption.
        word_ratio: probability that a word is hidden.
    """

    clips: TubeMaskedClips
    captions: CaptionReader
    word_ratio: float

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return what both readers do, and `labels`, int64 [max_ids]: the hidden words."""
        clip = self.clips(dataset, index, rng)
        caption = self.captions(dataset, index, rng)
        special = self.captions.column.special_ids
        labels = masked_words(caption[IDS], ratio=self.word_ratio, special_ids=special, rng=rng)
        return {**clip, **caption, LABELS: labels}
