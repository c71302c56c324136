"""From a sample to what the student reads: a clip, its mask, and what the teacher says of visible tokens.

The mask is drawn first, from the stored attention; of the features, the visible tokens alone are read.
"""

from dataclasses import dataclass

import numpy as np

from vfm.shards.array_types import Float32, Int64
from vfm.shards.clips import segment_times
from vfm.shards.columns.arrays import ATTENTION
from vfm.shards.errors import DamageError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.clip_sampling import ClipSampling
from vfm.trainer.data.clips import shown_times
from vfm.trainer.data.masks import Mask, arrival_times, attention_mask, random_mask, tube_mask
from vfm.trainer.data.paired_clips import PairedReader
from vfm.trainer.methods.umt.recipe import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainReader:
    """Draws frames of a video, one of the stored views, and a mask.

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
        """Return `clip`, uint8 [T, S, S, 3], `is_hidden`, bool [N], and the visible tokens of each field."""
        times = shown_times(dataset, index, self._draw(int(dataset.num_frames[index]), rng))
        view = int(rng.integers(len(self.attention.views)))
        read = self.attention(dataset, index, np.asarray(times), view=view)
        weights = read.pop(ATTENTION).astype(np.float32)
        _check(weights, key=dataset.keys[index], times=times)
        is_hidden = hide(weights.reshape(len(times), -1), self.objective, rng=rng)
        visible = np.flatnonzero(~is_hidden)
        tokens = self.features.tokens(dataset, index, times, view=view, which=visible)
        return {**read, "is_hidden": is_hidden, **tokens}

    def _draw(self, num_frames: int, rng: np.random.Generator) -> Int64:
        if self.sampling.rule == "sparse":  # pretraining draws from other segments than finetuning
            return segment_times(num_frames, clip_len=self.sampling.clip_len, rng=rng)
        return self.sampling.random(num_frames, rng=rng)


def hide(attention: Float32, objective: Objective, *, rng: np.random.Generator) -> Mask:
    """Return which tokens of a clip are hidden, bool [T · N].

    Args:
        attention: of the teacher, [T, N].
        objective: kind of mask, and its share.
        rng: source of chance.
    """
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
