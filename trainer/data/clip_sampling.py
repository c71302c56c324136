"""Which stored frames make a clip, by a recipe: at random to learn from, spread out to count on."""

from dataclasses import dataclass

import numpy as np

from vfm.shards.array_types import Int64
from vfm.shards.clips import (
    clip_times,
    dense_times,
    linspace_times,
    looped_times,
    random_start,
    segment_times,
    sparse_times,
    spread_dense_times,
    spread_linspace_times,
    spread_looped_times,
    spread_sparse_times,
    spread_ssv2_times,
    spread_starts,
)
from vfm.trainer.recipes.recipe import DataConfig, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSampling:
    """Draws and spreads the clips of a sample.

    Attributes:
        rule: ``strided`` is a window, ``dense`` one as VideoMAE is finetuned on it, ``linspace`` one as
            MaskFeat is trained on it, ``looped`` one that goes on with the first frame; ``sparse`` and
            ``ssv2`` spread the frames of a clip over the sample.
        clip_len: frames of a clip.
        stride: stored frames from one frame of a window to the next.
    """

    rule: Sampling = "strided"
    clip_len: int
    stride: int = 1

    def random(self, num_frames: int, *, rng: np.random.Generator) -> Int64:
        """Return a clip to learn from: stored frames, int64 [clip_len], `clips.PAD` past the end."""
        match self.rule:
            case "sparse":
                return sparse_times(num_frames, clip_len=self.clip_len, rng=rng)
            case "ssv2":
                return segment_times(num_frames, clip_len=self.clip_len, rng=rng)
        span = {"clip_len": self.clip_len, "stride": self.stride}
        if self.rule == "dense":
            return dense_times(num_frames, **span, rng=rng)
        if self.rule == "linspace":
            return linspace_times(num_frames, **span, rng=rng)
        if self.rule == "looped":
            return looped_times(num_frames, **span, rng=rng)
        start = random_start(num_frames, **span, rng=rng)
        return clip_times(start, num_frames=num_frames, **span)

    def spread(self, num_frames: int, *, num_clips: int) -> list[Int64]:
        """Return the clips to count on, from the beginning of a sample to its end; see `random`."""
        match self.rule:
            case "sparse":
                return spread_sparse_times(num_frames, clip_len=self.clip_len, num_clips=num_clips)
            case "ssv2":
                return spread_ssv2_times(num_frames, clip_len=self.clip_len, num_clips=num_clips)
        span = {"clip_len": self.clip_len, "stride": self.stride}
        if self.rule == "dense":
            return spread_dense_times(num_frames, **span, num_clips=num_clips)
        if self.rule == "linspace":
            return spread_linspace_times(num_frames, **span, num_clips=num_clips)
        if self.rule == "looped":
            return spread_looped_times(num_frames, **span, num_clips=num_clips)
        starts = spread_starts(num_frames, **span, num_clips=num_clips)
        return [clip_times(start, num_frames=num_frames, **span) for start in starts]


def clip_sampling(data: DataConfig) -> ClipSampling:
    """Return the sampling of a recipe whose stride, if it has one, is known."""
    stride = 1 if data.spans_video else data.known_stride
    return ClipSampling(rule=data.sampling, clip_len=data.clip_len, stride=stride)
