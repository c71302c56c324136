"""Which stored frames make a clip, by a recipe: at random to learn from, spread out to count on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vfm.shards.array_types import Int64
from vfm.shards.clips import (
    clip_times,
    dense_times,
    linspace_times,
    looped_times,
    parts_times,
    random_start,
    segment_times,
    sparse_times,
    spread_dense_times,
    spread_linspace_times,
    spread_looped_times,
    spread_parts_times,
    spread_sparse_times,
    spread_ssv2_times,
    spread_starts,
)
from vfm.trainer.recipes.recipe import DataConfig, Sampling


class _Rule(NamedTuple):
    """How clips are drawn at random, and how they are spread."""

    random: Callable[..., Int64]
    spread: Callable[..., list[Int64]]


_OF_THE_WHOLE = {
    "sparse": _Rule(sparse_times, spread_sparse_times),
    "ssv2": _Rule(segment_times, spread_ssv2_times),
    "parts": _Rule(parts_times, spread_parts_times),
}
_WINDOWS = {
    "dense": _Rule(dense_times, spread_dense_times),
    "linspace": _Rule(linspace_times, spread_linspace_times),
    "looped": _Rule(looped_times, spread_looped_times),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSampling:
    """Draws and spreads the clips of a sample.

    Attributes:
        rule: ``strided`` is a window, ``dense`` one as VideoMAE is finetuned on it, ``linspace`` one as
            MaskFeat is trained on it, ``looped`` one that goes on with the first frame; ``sparse``, ``ssv2``
            and ``parts`` spread the frames of a clip over the sample.
        clip_len: frames of a clip.
        stride: stored frames from one frame of a window to the next.
    """

    rule: Sampling = "strided"
    clip_len: int
    stride: int = 1

    def random(self, num_frames: int, *, rng: np.random.Generator) -> Int64:
        """Return a clip to learn from: stored frames, int64 [clip_len], `clips.PAD` past the end."""
        if (whole := _OF_THE_WHOLE.get(self.rule)) is not None:
            return whole.random(num_frames, clip_len=self.clip_len, rng=rng)
        span = {"clip_len": self.clip_len, "stride": self.stride}
        if (window := _WINDOWS.get(self.rule)) is not None:
            return window.random(num_frames, **span, rng=rng)
        start = random_start(num_frames, **span, rng=rng)
        return clip_times(start, num_frames=num_frames, **span)

    def spread(self, num_frames: int, *, num_clips: int) -> list[Int64]:
        """Return the clips to count on, from the beginning of a sample to its end; see `random`."""
        if (whole := _OF_THE_WHOLE.get(self.rule)) is not None:
            return whole.spread(num_frames, clip_len=self.clip_len, num_clips=num_clips)
        span = {"clip_len": self.clip_len, "stride": self.stride}
        if (window := _WINDOWS.get(self.rule)) is not None:
            return window.spread(num_frames, **span, num_clips=num_clips)
        starts = spread_starts(num_frames, **span, num_clips=num_clips)
        return [clip_times(start, num_frames=num_frames, **span) for start in starts]


def clip_sampling(data: DataConfig) -> ClipSampling:
    """Return the sampling of a recipe whose stride, if it has one, is known."""
    stride = 1 if data.spans_video else data.known_stride
    return ClipSampling(rule=data.sampling, clip_len=data.clip_len, stride=stride)
