"""From a sample to what the model reads: a clip, its mask, and the HOG of every second frame of this clip."""

from dataclasses import dataclass

import numpy as np

from vfm.shards.pixels.hog.compute import hog
from vfm.shards.pixels.hog.definition import HogDefinition
from vfm.shards.pixels.views import apply_view, centre
from vfm.shards.reading.clip_frames import read_frames, shown_times
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.augment import draw_clip
from vfm.trainer.data.clip_sampling import ClipSampling
from vfm.trainer.data.paired_clips import PairedReader
from vfm.trainer.methods.maskfeat.mask import Window, draw_mask
from vfm.trainer.methods.maskfeat.recipe import CELL_PX, Objective
from vfm.trainer.recipes.classify import Augmentation

CLIP, HIDDEN, HOG = "clip", "is_hidden", "hog"
HOG_FRAMES = 2  # frames of a clip to one whose HOG is told, the first of each


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReader:
    """Draws a clip of a video, one of the stored views, and a mask; reads the stored HOG.

    Attributes:
        stored: reads the pixels of a view and the HOG of its tokens.
        sampling: which frames a clip may hold.
        objective: what is hidden, and how much.
    """

    stored: PairedReader
    sampling: ClipSampling
    objective: Objective

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return `clip`, uint8 [T, S, S, 3], `is_hidden`, bool [T / 2, S / 32, S / 32], and `hog` as stored.

        `hog` is [N, F], N tokens in the order of every second frame, rows and columns.
        """
        times = _draw_times(dataset, index, self.sampling, rng=rng)
        view = int(rng.integers(len(self.stored.views)))
        clip = self.stored.pixels(dataset, index, times, view=view)
        told = times[::HOG_FRAMES]
        (target,) = self.stored.targets.values()
        token_px = dataset.manifest.columns[target.column].options["token_px"]
        which = np.arange(len(told) * (clip.shape[1] // token_px) ** 2)
        return {
            CLIP: clip,
            HIDDEN: draw_mask(window_of(clip.shape), self.objective, rng=rng),
            **self.stored.tokens(dataset, index, told, view=view, which=which),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineReader:
    """Draws a clip of a video, a crop, and a mask; computes the HOG of what is then seen.

    Attributes:
        image_px: side of what is seen.
        definition: of HOG.
        sampling: which frames a clip may hold.
        objective: what is hidden, and how much, and what is drawn of a frame.
    """

    image_px: int
    definition: HogDefinition
    sampling: ClipSampling
    objective: Objective

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return what `StoredReader` does, `hog` as float32."""
        times = _draw_times(dataset, index, self.sampling, rng=rng)
        frames = read_frames(dataset, index, times)
        if self.objective.crop_area is None:
            clip = apply_view(frames, centre(self.image_px))
        else:
            how = Augmentation(crop_area=self.objective.crop_area, flip=self.objective.flip)
            clip = draw_clip(frames, how=how, size_px=self.image_px, rng=rng)
        told = hog(clip[::HOG_FRAMES], self.definition)
        return {
            CLIP: clip,
            HIDDEN: draw_mask(window_of(clip.shape), self.objective, rng=rng),
            HOG: told.reshape(-1, told.shape[-1]),
        }


def window_of(shape: tuple[int, ...]) -> Window:
    """Return the cells of a clip [T, S, S, 3] in time, rows and columns."""
    num_frames, height_px, width_px, _ = shape
    return num_frames // HOG_FRAMES, height_px // CELL_PX, width_px // CELL_PX


def _draw_times(
    dataset: Dataset, index: int, sampling: ClipSampling, *, rng: np.random.Generator
) -> list[int]:
    times = sampling.random(int(dataset.num_frames[index]), rng=rng)
    return shown_times(dataset, index, times)
