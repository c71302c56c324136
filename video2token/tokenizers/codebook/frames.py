"""Draws frames from a dataset to fit a codebook on, and others, of other samples, to judge it by."""

from dataclasses import dataclass

import numpy as np

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError
from vfm.shards.order import epoch_order, sample_rng
from vfm.shards.pixels.views import View, apply_view
from vfm.shards.reading.dataset import Dataset
from vfm.shards.wording import counted

FrameDraw = tuple[int, int]  # (index of the sample, number of the frame)

_HELD_OUT_SHARE = 0.1  # of the samples, for as long as that is not more frames than are needed
_MAX_HELD_OUT_FRAMES = 256
_MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFrames:
    """Frames of one view, in memory.

    Attributes:
        train: uint8 [N, S, S, 3].
        held_out: uint8 [M, S, S, 3], of samples that ``train`` has no frame of when there are two or more.
    """

    train: UInt8
    held_out: UInt8


def sample_frames(dataset: Dataset, *, view: View, seed: int) -> DrawnFrames:
    """Draw frames evenly over the samples, the same for the same dataset, view and seed.

    At most 256 MiB of them, which is 5,461 frames of 128 px.

    Raises:
        UsageError: the dataset has fewer than two frames.
    """
    max_frames = max(1, _MAX_BYTES // (3 * view.crop_px**2))
    train, held_out = choose_frames(dataset, seed=seed, max_frames=max_frames)
    return DrawnFrames(train=_read(dataset, train, view=view), held_out=_read(dataset, held_out, view=view))


def choose_frames(dataset: Dataset, *, seed: int, max_frames: int) -> tuple[list[FrameDraw], list[FrameDraw]]:
    """Return at most ``max_frames`` frames to fit to, and at most 256 to be held out."""
    num_frames = int(dataset.num_frames.sum())
    if num_frames < 2:
        raise UsageError(
            f"{dataset.data} has {counted(num_frames, 'frame')} and a codebook needs two at least, one "
            "of them to be judged by: extract more videos, or with a higher --fps."
        )
    order = epoch_order(len(dataset), seed=seed, epoch=0).tolist()
    if len(order) == 1:
        draws = _spread(dataset, order, seed=seed, max_frames=max_frames + _MAX_HELD_OUT_FRAMES)
        num_held_out = _num_held_out(len(draws))
        return draws[num_held_out:], draws[:num_held_out]
    num_held_out = _num_held_out(len(order))
    return (
        _spread(dataset, order[num_held_out:], seed=seed, max_frames=max_frames),
        _spread(dataset, order[:num_held_out], seed=seed, max_frames=_MAX_HELD_OUT_FRAMES),
    )


def _num_held_out(count: int) -> int:
    return min(max(1, int(count * _HELD_OUT_SHARE)), _MAX_HELD_OUT_FRAMES)


def _spread(dataset: Dataset, indices: list[int], *, seed: int, max_frames: int) -> list[FrameDraw]:
    """Return one frame of each sample, drawn at random, then a second one of each, and so on."""
    indices = indices[:max_frames]
    num_each = -(-max_frames // len(indices))
    draws: list[tuple[int, int, FrameDraw]] = []
    for place, index in enumerate(indices):
        rng = sample_rng(seed=seed, epoch=0, key=dataset.keys[index])
        times = rng.permutation(int(dataset.num_frames[index]))[:num_each].tolist()
        draws.extend((turn, place, (index, time)) for turn, time in enumerate(times))
    return [draw for _, _, draw in sorted(draws)][:max_frames]


def _read(dataset: Dataset, draws: list[FrameDraw], *, view: View) -> UInt8:
    frames = np.empty((len(draws), view.crop_px, view.crop_px, 3), np.uint8)
    for out, (index, time) in zip(frames, draws, strict=True):
        out[:] = apply_view(np.stack(dataset.frames(index, [time])), view)[0]
    return frames
