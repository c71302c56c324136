"""How fast the picture moves: the mean displacement of its parts, as a share of its diagonal per second.

From the codec's motion vectors where it exports any (H.264, MPEG-1, 2 and 4, H.263, WMV …): the mean length
of the vectors of each P frame, weighted by the area of their blocks, over the time since the I or P frame
shown before it. Frames without vectors, and blocks coded from themselves, count for nothing. A vector that
refers to a still older frame counts as if it did not, so that films with many references score a little high.

Elsewhere from the luma's change, by the brightness constancy equation of Horn and Schunck, "Determining
optical flow", 1981: where the picture moves by v, its luma changes by v times its gradient. The sum of the
changes over the sum of the gradients, times pi/2 because gradients point every way, is the mean displacement,
up to about two pixels of a thumbnail between two looks.

A moving camera counts as motion, noise hardly does. On real videos the two methods agree within a factor of
three.
"""

import math
from typing import Any

import numpy as np

from vfm.shards.array_types import UInt8
from vfm.video2token.analysis.signal import THUMBNAIL_HEIGHT_PX, THUMBNAIL_WIDTH_PX, Signal, Thumbnail

WANTS_VECTORS = True
_LOOK_EVERY_S = 0.095  # ten times a second, whatever rounding does to the times
_NOISE_LEVELS = 1  # a change of luma that rounding alone makes
_MAX_STEP = 2 / math.hypot(THUMBNAIL_WIDTH_PX, THUMBNAIL_HEIGHT_PX)  # beyond, the change says no more how far


def build() -> Signal:
    """Return the motion signal of one video: ``{"score": 0.021, "method": "vectors"}``, or ``luma``.

    The score is None where there are not two frames to compare.
    """
    return _Motion()


class _Motion:
    """Adds up displacements, shares of the diagonal, and the seconds in which they happened."""

    def __init__(self) -> None:
        self._anchor_s: float | None = None  # time of the last I or P frame
        self._looked: tuple[float, UInt8] | None = None
        self._by_vectors, self._vectors_s = 0.0, 0.0
        self._by_luma, self._luma_s = 0.0, 0.0

    def add(self, thumbnail: Thumbnail) -> None:
        self._add_vectors(thumbnail)
        time_s, luma = thumbnail.time_s, thumbnail.yuv[0]
        if self._looked is None:
            self._looked = time_s, luma
        elif time_s - self._looked[0] >= _LOOK_EVERY_S:
            before_s, before = self._looked
            self._by_luma += luma_step(
                before, luma, width_px=thumbnail.width_px, height_px=thumbnail.height_px
            )
            self._luma_s += time_s - before_s
            self._looked = time_s, luma

    def _add_vectors(self, thumbnail: Thumbnail) -> None:
        if thumbnail.kind not in {"I", "P"}:
            return
        before_s, self._anchor_s = self._anchor_s, thumbnail.time_s
        if thumbnail.kind == "P" and before_s is not None and thumbnail.vectors is not None:
            self._by_vectors += vector_step(
                thumbnail.vectors, width_px=thumbnail.width_px, height_px=thumbnail.height_px
            )
            self._vectors_s += thumbnail.time_s - before_s

    def result(self) -> Any:
        has_vectors = self._vectors_s > 0
        method = "vectors" if has_vectors else "luma"
        moved, in_s = (self._by_vectors, self._vectors_s) if has_vectors else (self._by_luma, self._luma_s)
        return {"score": round(moved / in_s, 6) if in_s else None, "method": method}


def vector_step(vectors: Any, *, width_px: int, height_px: int) -> float:
    """Return the mean length of motion vectors, weighted by block area, as a share of the diagonal."""
    past = vectors[vectors["source"] < 0]
    areas = past["w"].astype(np.int64) * past["h"]
    if not areas.sum():
        return 0.0
    lengths_px = np.hypot(past["motion_x"], past["motion_y"]) / np.maximum(past["motion_scale"], 1)
    return float((lengths_px * areas).sum() / areas.sum() / math.hypot(width_px, height_px))


def luma_step(before: UInt8, after: UInt8, *, width_px: int, height_px: int) -> float:
    """Return the mean displacement between two lumas [36, 64], as a share of the diagonal."""
    earlier, later = before.astype(np.float64), after.astype(np.float64)
    change = np.maximum(np.abs(later - earlier) - _NOISE_LEVELS, 0)
    along_y, along_x = np.gradient((earlier + later) / 2)
    # Per share of the diagonal: a pixel of a thumbnail is as wide and high as its part of the frame.
    diagonal_px = math.hypot(width_px, height_px)
    slope = np.hypot(
        along_x * THUMBNAIL_WIDTH_PX * diagonal_px / width_px,
        along_y * THUMBNAIL_HEIGHT_PX * diagonal_px / height_px,
    )
    total = float(slope.sum())
    return min(math.pi / 2 * float(change.sum()) / total, _MAX_STEP) if total else 0.0
