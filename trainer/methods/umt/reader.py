"""From a sample to what the student reads: a clip, its mask, and what the teacher says of visible tokens.

The mask is drawn first, from the stored attention; of the features, the visible tokens alone are read.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vfm.shards.array_types import Float32, Int64, UInt8
from vfm.shards.clips import segment_times
from vfm.shards.columns.arrays import ATTENTION
from vfm.shards.errors import DamageError
from vfm.shards.pixels.views import View, apply_view
from vfm.shards.reading.clip_frames import read_frames, shown_times
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.clip_sampling import ClipSampling
from vfm.trainer.data.clips import multi_scale_crop
from vfm.trainer.data.masks import Mask, arrival_times, attention_mask, random_mask, tube_mask
from vfm.trainer.data.paired_clips import PairedReader
from vfm.trainer.methods.umt.recipe import Objective

VISIBLE, ARRIVALS = "visible", "arrivals"
_SNAP_PX = 3  # a crop's side so close to the student's becomes it

Crop = Callable[[UInt8, np.random.Generator], UInt8]  # of frames [T, H, W, 3], squares [T, S, S, 3] of them


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReader:
    """Draws frames of a video, one of the stored views, and a mask; reads what the teacher said there.

    Attributes:
        attention: reads clips and what the teacher attends to in them.
        features: reads what the teacher says of the visible tokens.
        sampling: which frames a clip may hold.
        objective: what is hidden, and how much.
    """

    attention: PairedReader
    features: PairedReader
    sampling: ClipSampling
    objective: Objective

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return `clip`, uint8 [T, S, S, 3], `visible`, int64 [N_visible], and each field at these tokens."""
        times = _draw_times(dataset, index, self.sampling, rng=rng)
        view = int(rng.integers(len(self.attention.views)))
        read = self.attention(dataset, index, np.asarray(times), view=view)
        weights = read.pop(ATTENTION).astype(np.float32)
        _check(weights, key=dataset.keys[index], times=times)
        visible = draw_visible(weights.reshape(len(times), -1), self.objective, rng=rng)
        tokens = self.features.tokens(dataset, index, times, view=view, which=visible)
        return {**read, VISIBLE: visible, **tokens}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineReader:
    """Draws frames of a video and what of them is seen, for a teacher that looks at them later.

    Attributes:
        views: one of them is drawn.
        crop: what is seen where there are no views.
        num_cells: tokens of a frame.
        sampling: which frames a clip may hold.
        objective: what is hidden, and how much.
    """

    views: tuple[View, ...]
    crop: Crop
    num_cells: int
    sampling: ClipSampling
    objective: Objective

    def __call__(self, dataset: Dataset, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return `clip`, uint8 [T, S, S, 3], and `visible`, int64 [N_visible].

        Where attention is to tell what is hidden, `arrivals`, float32 [T, N / T], from which the mask follows
        once it is known, in place of `visible`.
        """
        times = _draw_times(dataset, index, self.sampling, rng=rng)
        clip = self._seen(read_frames(dataset, index, times), rng)
        shape = (len(times), self.num_cells)
        if self.objective.mask == "attention":
            return {"clip": clip, ARRIVALS: arrival_times(shape, rng=rng)}
        return {"clip": clip, VISIBLE: draw_visible(np.ones(shape, np.float32), self.objective, rng=rng)}

    def _seen(self, frames: UInt8, rng: np.random.Generator) -> UInt8:
        if self.views:
            return apply_view(frames, self.views[int(rng.integers(len(self.views)))])
        return self.crop(frames, rng)


def published_crop(frames: UInt8, rng: np.random.Generator, *, image_px: int) -> UInt8:
    """Return a crop as the published loader of the first stage cuts it, half of them mirrored.

    Args:
        frames: uint8 [T, H, W, 3].
        rng: source of chance.
        image_px: side of the result.
    """
    clip = multi_scale_crop(frames, target_px=image_px, rng=rng, snap_px=_SNAP_PX)
    return np.ascontiguousarray(clip[:, :, ::-1]) if rng.integers(2) else clip


def _draw_times(
    dataset: Dataset, index: int, sampling: ClipSampling, *, rng: np.random.Generator
) -> list[int]:
    num_frames = int(dataset.num_frames[index])
    if sampling.rule == "sparse":  # pretraining draws from other segments than finetuning
        times = segment_times(num_frames, clip_len=sampling.clip_len, rng=rng)
    else:
        times = sampling.random(num_frames, rng=rng)
    return shown_times(dataset, index, times)


def draw_visible(attention: Float32, objective: Objective, *, rng: np.random.Generator) -> Int64:
    """Return which tokens of a clip are seen, int64 [N_visible] of T · N, ascending.

    Args:
        attention: of the teacher, [T, N].
        objective: kind of mask, and its share.
        rng: source of chance.
    """
    return np.flatnonzero(~_hide(attention, objective, rng=rng))


def _hide(attention: Float32, objective: Objective, *, rng: np.random.Generator) -> Mask:
    num_times, num_cells = attention.shape
    ratio = objective.mask_ratio
    match objective.mask:
        case "attention":
            return attention_mask(attention, arrival_times(attention.shape, rng=rng), ratio=ratio)
        case "tube":
            return tube_mask(num_times=num_times, num_cells=num_cells, ratio=ratio, rng=rng)
        case "random":
            return random_mask(num_tokens=num_times * num_cells, ratio=ratio, rng=rng)


def _check(attention: Float32, *, key: str, times: list[int]) -> None:
    is_right = np.isfinite(attention) & (attention > 0)
    if not is_right.all():
        wrong = times[int(np.argmin(is_right.reshape(len(times), -1).all(axis=1)))]
        raise DamageError(
            f"The teacher's attention in frame {wrong} of {key} is not above zero everywhere, so no mask "
            "can be drawn from it: compute the column again with `vfm tokenize`."
        )
