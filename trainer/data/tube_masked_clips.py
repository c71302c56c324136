"""From a sample's frames to what masked autoencoders read: one clip, cropped, and which tubes are hidden."""

from dataclasses import dataclass

import numpy as np

from vfm.shards.reading.clip_frames import read_frames
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.clips import multi_scale_crop
from vfm.trainer.data.masks import tube_mask
from vfm.trainer.recipes.encoder import AutoencoderSizes
from vfm.trainer.recipes.recipe import Recipe


def clip_range(num_frames: int, *, clip_len: int, stride: int) -> int:
    """Return the last frame that a clip may start at; 0 in a video shorter than ``clip_len · stride``."""
    return max(num_frames - clip_len * stride, 0)


def clip_frames(start: int, *, num_frames: int, clip_len: int, stride: int) -> list[int]:
    """Return the frames of a clip as the published code steps through them.

    A step is taken while it leads before the last frame, otherwise the frame is shown again; so the last
    frame itself is never reached by stepping.
    """
    frames = [start]
    while len(frames) < clip_len:
        ahead = frames[-1] + stride
        frames.append(ahead if ahead < num_frames - 1 else frames[-1])
    return frames


@dataclass(frozen=True, slots=True, kw_only=True)
class TubeMaskedClips:
    """Draws a clip of a video, crops it at a random scale, and hides tubes of it.

    Attributes:
        size_px: side of a frame.
        num_times: slices of time that a clip is cut into.
        num_cells: tokens of a slice.
        mask_ratio: share of them that is hidden.
        clip_len: frames of a clip.
        stride: stored frames from one frame of a clip to the next.
    """

    size_px: int
    num_times: int
    num_cells: int
    mask_ratio: float
    clip_len: int
    stride: int

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return `clip`, uint8 [T, S, S, 3], and `is_hidden`, bool [N]."""
        num_frames = int(dataset.num_frames[index])
        span = {"clip_len": self.clip_len, "stride": self.stride}
        start = int(rng.integers(0, clip_range(num_frames, **span), endpoint=True))
        times = clip_frames(start, num_frames=num_frames, **span)
        clip = multi_scale_crop(read_frames(dataset, index, times), target_px=self.size_px, rng=rng)
        is_hidden = tube_mask(
            num_times=self.num_times, num_cells=self.num_cells, ratio=self.mask_ratio, rng=rng
        )
        return {"clip": clip, "is_hidden": is_hidden}


def tube_masked_clips(recipe: Recipe) -> TubeMaskedClips:
    """Return the reader of a recipe whose model is an `AutoencoderSizes`, its stride known.

    Raises:
        UsageError: its clips are no windows of frames equally far apart.
    """
    model: AutoencoderSizes = recipe.model
    return TubeMaskedClips(
        size_px=model.image_px,
        num_times=recipe.data.clip_len // model.tubelet,
        num_cells=model.cells_per_frame,
        mask_ratio=recipe.objective.mask_ratio,
        clip_len=recipe.data.clip_len,
        stride=recipe.data.window_stride,
    )
