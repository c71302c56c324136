"""Frames of a sample as the clips that networks of pixels read; NumPy and Pillow, for loader workers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError
from vfm.shards.pixels.multi_scale import PLACES, SCALES, SHAPES
from vfm.shards.pixels.spread_crops import spread_crops
from vfm.shards.pixels.views import View, apply_view
from vfm.shards.reading.clip_frames import read_frames, shown_times
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.augment import draw_clip, draw_erased
from vfm.trainer.recipes.classify import Augmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelReader:
    """Reads one clip of a sample in one view, as finetuning and evaluation want it.

    Attributes:
        view: what of each frame is seen.
        cut: how a test cuts squares of frames, see `spread_crops`.
    """

    view: View
    cut: Callable[..., UInt8] = spread_crops

    def __call__(self, dataset: Dataset, index: int, times: np.ndarray) -> dict[str, np.ndarray]:
        """Return `clip`, uint8 [T, S, S, 3]; past the end the last frame is shown again."""
        frames = read_frames(dataset, index, shown_times(dataset, index, times))
        return {"clip": apply_view(frames, self.view)}

    def draw(
        self, dataset: Dataset, index: int, times: np.ndarray, *, how: Augmentation, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return `clip`, uint8 [R, T, S, S, 3], and `erased`, the box of each that is to be noise, [R, 4].

        Raises:
            UsageError: a stored view is to be drawn.
        """
        if how.stored_views != "first":
            raise UsageError(
                f"objective.augment.stored_views is {how.stored_views}, and frames have no stored views: "
                "set it to first."
            )
        frames = read_frames(dataset, index, shown_times(dataset, index, times))
        size_px = self.view.crop_px
        clips, boxes = [], []
        for _ in range(how.num_draws):
            clips.append(draw_clip(frames, how=how, size_px=size_px, rng=rng))
            boxes.append(draw_erased(size_px, probability=how.erase, rng=rng))
        return {"clip": np.stack(clips), "erased": np.stack(boxes)}

    def spread(
        self, dataset: Dataset, index: int, clips: Sequence[np.ndarray], *, num_crops: int
    ) -> dict[str, np.ndarray]:
        """Return `clip`, uint8 [K, T, S, S, 3], each stored frame decoded and resized once.

        Views are those of `cut`, by default as in the published tests of UMT and VideoMAE; the crops of the
        first clip come first.
        """
        times = [shown_times(dataset, index, clip) for clip in clips]
        unique, places = np.unique(np.asarray(times), return_inverse=True)
        frames = np.stack(dataset.frames(index, unique.tolist()))
        crops = self.cut(frames, crop_px=self.view.crop_px, num_crops=num_crops)
        views = crops[:, places.reshape(len(clips), -1)].swapaxes(0, 1)
        return {"clip": views.reshape(-1, *views.shape[2:])}


def multi_scale_crop(frames: UInt8, *, target_px: int, rng: np.random.Generator, snap_px: int = 2) -> UInt8:
    """Return a crop of random size and place, the same of all frames, as squares (Wang et al. 2016, TSN).

    Sides are 1, 0.875, 0.75 or 0.66 of the short side, width and height at most one step apart; one of 13
    places; resized by Pillow's bilinear filter.

    Args:
        frames: uint8 [T, H, W, 3].
        target_px: side of the result.
        rng: source of chance.
        snap_px: a side so close to ``target_px`` becomes it.

    Returns:
        uint8 [T, target_px, target_px, 3].
    """
    height, width = frames.shape[1:3]
    sides = [int(min(height, width) * scale) for scale in SCALES]
    sides = [target_px if abs(side - target_px) <= snap_px else side for side in sides]
    tall, wide = SHAPES[rng.integers(len(SHAPES))]
    crop_height, crop_width = sides[tall], sides[wide]
    crop_height, crop_width = min(crop_height, height), min(crop_width, width)
    across, down = PLACES[rng.integers(len(PLACES))]
    left, top = across * ((width - crop_width) // 4), down * ((height - crop_height) // 4)
    cropped = frames[:, top : top + crop_height, left : left + crop_width]
    resized = np.empty((len(frames), target_px, target_px, 3), np.uint8)
    for out, frame in zip(resized, cropped, strict=True):
        image = Image.fromarray(np.ascontiguousarray(frame))
        out[:] = np.asarray(image.resize((target_px, target_px), Image.Resampling.BILINEAR))
    return resized
