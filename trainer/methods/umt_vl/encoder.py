"""The student of UMT's second stage by itself, and the pixels that it sees."""

from dataclasses import dataclass

import numpy as np

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError
from vfm.shards.pixels.views import centre
from vfm.shards.reading.clip_frames import read_frames, shown_times
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.augment import resized
from vfm.trainer.data.clips import PixelReader
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import VitBackbone, build_backbone, vit_config


def build_encoder(recipe: Recipe) -> VitBackbone:
    """Return the encoder alone, its weights drawn from the recipe's seed."""
    return build_backbone(vit_config(recipe, tubelet=1), seed=recipe.train.seed)


def encoder_of(recipe: Recipe) -> VitBackbone:
    """Return the encoder alone, its weights not drawn."""
    return VitBackbone(vit_config(recipe, tubelet=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeFrames(PixelReader):
    """Reads clips whose frames are made square as a whole, as the released tests of the second stage do."""

    def __call__(self, dataset: Dataset, index: int, times: np.ndarray) -> dict[str, np.ndarray]:
        """Return `clip`, uint8 [T, S, S, 3]; past the end the last frame is shown again."""
        frames = read_frames(dataset, index, shown_times(dataset, index, times))
        return {"clip": resized(frames, size_px=self.view.crop_px, how="bicubic")}


def squeezed(frames: UInt8, *, crop_px: int, num_crops: int) -> UInt8:
    """Return whole frames as squares, uint8 [1, T, crop_px, crop_px, 3], of uint8 [T, H, W, 3].

    Raises:
        UsageError: more than one square of a frame is asked for.
    """
    if num_crops != 1:
        raise UsageError(f"UMT's second stage sees frames as a whole: ask for 1 crop, not for {num_crops}.")
    return resized(frames, size_px=crop_px, how="bicubic")[None]


def clip_reader(recipe: Recipe) -> WholeFrames:
    """Return what reads the clips that the encoder takes."""
    return WholeFrames(view=centre(recipe.model.image_px), cut=squeezed)
