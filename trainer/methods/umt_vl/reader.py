"""From a sample to what UMT's second stage reads: a clip and what the teacher says of it, and a caption."""

from dataclasses import dataclass, replace

import numpy as np

from vfm.shards.array_types import UInt8
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.augment import draw_clip
from vfm.trainer.methods.umt.reader import OnlineReader, StoredReader
from vfm.trainer.methods.umt_vl.recipe import AUGMENT
from vfm.trainer.video_text.captions import IDS, NUM_IDS, CaptionReader, corrupted_words

SHOWN, LABELS = "shown", "labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainReader:
    """Draws a clip, what of it is visible, one caption of the sample, and which words are to be guessed.

    Attributes:
        clips: reads the clip of a video, and what the teacher says of it.
        images: reads an image in the same way.
        captions: reads the caption.
        word_ratio: probability that a word is to be guessed.
    """

    clips: StoredReader | OnlineReader
    images: StoredReader | OnlineReader
    captions: CaptionReader
    word_ratio: float

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return what both readers do, and `shown` and `labels`, int64 [max_ids]; see `corrupted_words`."""
        read = self.images if dataset.is_image(index) else self.clips
        clip, caption = read(dataset, index, rng), self.captions(dataset, index, rng)
        shown, labels = corrupted_words(
            caption[IDS],
            num_ids=int(caption[NUM_IDS]),
            column=self.captions.column,
            ratio=self.word_ratio,
            rng=rng,
        )
        return {**clip, **caption, SHOWN: shown, LABELS: labels}


def published_crop(frames: UInt8, rng: np.random.Generator, *, image_px: int) -> UInt8:
    """Return a crop as the published loader of the second stage cuts it, half of them mirrored.

    Args:
        frames: uint8 [T, H, W, 3].
        rng: source of chance.
        image_px: side of the result.
    """
    return draw_clip(frames, how=AUGMENT, size_px=image_px, rng=rng)


def image_reader(clips: StoredReader | OnlineReader, *, mask_ratio: float) -> StoredReader | OnlineReader:
    """Return what reads images, of which another share is hidden, as clips of one frame."""
    sampling = replace(clips.sampling, clip_len=1)
    return replace(clips, sampling=sampling, objective=replace(clips.objective, mask_ratio=mask_ratio))
