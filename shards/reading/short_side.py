"""The short side of a dataset's pixels: of the stored frames, and of the videos they came from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vfm.shards.format.sample import SampleMeta
from vfm.shards.reading.dataset import Dataset

_NUM_LOOKED_AT = 64  # samples whose metadata are read


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortSide:
    """How many pixels there are along the short side, for half of the samples at least.

    Attributes:
        short_px: of the stored frames, or of those of the video where it is less: extraction may have
            enlarged them, which adds nothing to see.
        source_px: of the frames of the videos, the most that any extraction gives without enlarging.
    """

    short_px: int
    source_px: int


def look_at(dataset: Dataset) -> list[SampleMeta]:
    """Return what is known about a few samples, evenly spread over a dataset."""
    chosen = np.linspace(0, len(dataset) - 1, min(_NUM_LOOKED_AT, len(dataset))).astype(int)
    return [dataset.meta(int(index)) for index in chosen]


def short_side(metas: Sequence[SampleMeta]) -> ShortSide | None:
    """Return the short side of these samples; None of no samples."""
    if not metas:
        return None
    stored_px = np.array([min(meta.width_px, meta.height_px) for meta in metas])
    source_px = np.array([min(meta.source_width_px, meta.source_height_px) for meta in metas])
    return ShortSide(
        short_px=int(np.median(np.minimum(stored_px, source_px))), source_px=int(np.median(source_px))
    )
