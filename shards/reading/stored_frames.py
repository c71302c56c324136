"""What a dataset's stored frames are like: how many a second, and how many pixels along the short side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vfm.shards.format.layout import FRAMES
from vfm.shards.format.sample import SampleMeta

if TYPE_CHECKING:
    from vfm.shards.reading.dataset import Dataset

_NUM_LOOKED_AT = 64  # samples whose metadata are read
_GRIDS = ("grid", "ffmpeg-fps-filter")  # ways of sampling whose frames are 1 / fps apart


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


def look_at(dataset: "Dataset") -> list[SampleMeta]:
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


def enlargement(size_px: int, *, short_px: int) -> float:
    """Return how many times frames are enlarged until their short side has ``size_px``; 1 if they are not."""
    return max(size_px / short_px, 1.0)


def fps_of_grid(options: Mapping[str, Any]) -> float | None:
    """Return the frames a second that the options of a column of frames tell; None if they tell no grid."""
    fps: float | None = options.get("fps") if options.get("sampling", "grid") in _GRIDS else None
    return fps


def stored_fps(dataset: "Dataset", metas: Sequence[SampleMeta]) -> float | None:
    """Return the stored frames a second; None where they are not evenly spaced, or nothing says so.

    Args:
        dataset: that has the frames.
        metas: of a few of its samples, which tell it where every frame of a video is stored.
    """
    options = dataset.manifest.columns[FRAMES].options
    if options.get("sampling") != "native":
        return fps_of_grid(options)
    rates = [meta.source_fps for meta in metas if meta.source_fps]
    return float(np.median(rates)) if rates else None
