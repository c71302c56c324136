"""Where a video cuts from one shot to the next.

The change between two frames is the geometric mean of two: how much the pixels differ, which they do at a cut
between like scenes, and how much the histograms differ, which they hardly do where the camera moves. A cut is
a change that

- stands out: it is three times as large as the second largest change among its neighbours, two to six frames
  away (after Yeo and Liu, "Rapid scene analysis on compressed video", IEEE Transactions on Circuits and
  Systems for Video Technology 5(6), 1995; the second instead of the largest, so that another cut nearby does
  not hide it); fast motion changes many frames in a row;
- lasts: the frames after it differ from the frame before, and it from those before; after a flash of up to
  five frames everything is as it was.

Fades and dissolves are not cuts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import UInt8
from vfm.video2token.analysis.signal import Signal, Thumbnail

WANTS_VECTORS = False
_MIN_CHANGE = 0.08  # cuts in films measured 0.14 and more, slides that change as a whole 0.09
_MIN_RATIO = 3.0  # cuts in films measured 3.8 and more but for one; damage and whip pans reach 2.9
_REACH = 6  # frames to both sides
_MIN_LASTING = 0.5  # of the change itself
_BINS = (32, 16, 16)  # of luma and the two chromas


def build() -> Signal:
    """Return the shots signal of one video: ``{"cuts_s": [5.36, …], "last_s": 9.96}``.

    A cut is the time of the first frame of a shot, all shots but the first; ``last_s`` is the time of the
    last frame, None without frames. All are seconds from the video's first frame.
    """
    return _Shots()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    time_s: float
    yuv: npt.NDArray[np.int16]
    histogram: npt.NDArray[np.int64]
    change: float  # from the frame before; 0 for the first


class _Shots:
    """Judges each frame once the frames that follow it are known."""

    def __init__(self) -> None:
        self._looks: list[_Look] = []  # the frame to be judged with its neighbours
        self._num_judged = 0  # of those in the list
        self._cuts_s: list[float] = []

    def add(self, thumbnail: Thumbnail) -> None:
        self._looks.append(_look(thumbnail, before=self._looks[-1] if self._looks else None))
        if len(self._looks) - self._num_judged > _REACH:
            self._judge_next()

    def result(self) -> Any:
        while self._num_judged < len(self._looks):
            self._judge_next()
        last_s = self._looks[-1].time_s if self._looks else None
        return {"cuts_s": self._cuts_s, "last_s": last_s}

    def _judge_next(self) -> None:
        if is_cut(self._looks, self._num_judged):
            self._cuts_s.append(self._looks[self._num_judged].time_s)
        self._num_judged += 1
        if self._num_judged > _REACH + 1:
            self._looks.pop(0)
            self._num_judged -= 1


def is_cut(looks: Sequence[_Look], at: int) -> bool:
    """Return whether a new shot begins with frame ``at`` of a few frames in a row."""
    changes = [look.change for look in looks]
    change = changes[at]
    # A cut may take two frames where frames were blended; the larger change is the cut.
    if at == 0 or change < _MIN_CHANGE or change <= changes[at - 1] or change < max(changes[at : at + 2]):
        return False
    around = changes[max(0, at - _REACH) : at - 1] + changes[at + 2 : at + _REACH + 1]
    second = sorted([0.0, 0.0, *around])[-2]
    if change < _MIN_RATIO * second:
        return False
    after = [change_between(looks[at - 1], look) for look in looks[at + 1 : at + _REACH]]
    before = [change_between(look, looks[at]) for look in looks[max(0, at - _REACH) : at - 1]]
    return min([change, *after, *before]) >= _MIN_LASTING * change


def change_between(one: _Look, other: _Look) -> float:
    """Return how much two frames differ, 0 for not at all."""
    size = one.yuv[0].size
    pixels = int(np.abs(one.yuv - other.yuv).sum()) / (255 * size)  # the sum over luma and chromas
    histograms = int(np.abs(one.histogram - other.histogram).sum()) / (2 * len(_BINS) * size)
    return math.sqrt(pixels * histograms)


def _look(thumbnail: Thumbnail, *, before: _Look | None) -> _Look:
    look = _Look(
        time_s=thumbnail.time_s,
        yuv=thumbnail.yuv.astype(np.int16),
        histogram=_histogram(thumbnail.yuv),
        change=0.0,
    )
    return look if before is None else replace(look, change=change_between(before, look))


def _histogram(yuv: UInt8) -> npt.NDArray[np.int64]:
    """Return int64 [64]: how many pixels fall into each bin, of luma and then of the two chromas."""
    return np.concatenate(
        [
            np.bincount(plane.ravel() // (256 // num_bins), minlength=num_bins)
            for plane, num_bins in zip(yuv, _BINS, strict=True)
        ]
    )
