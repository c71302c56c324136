"""A 64-bit hash of what a video shows, nearly the same for another encoding, size or frame rate of it.

After Coskun, Sankur and Memon, "Spatio-temporal transform based video hashing", IEEE Transactions on
Multimedia 8(6), 2006: the luma as a cube of time, height and width goes through a three-dimensional cosine
transform, and the hash is made of bits of its lowest coefficients. Here the video is 16 pictures of 9 x 16
numbers, each the mean of a sixteenth of its time; the bits tell which coefficients are positive: the 16
lowest spatial frequencies, without the mean brightness, at each of the temporal frequencies 0 to 3. Three
quarters of the bits are about what changes over time, because videos of one fixed camera are not duplicates.
Where nothing changes at a temporal frequency, a bit of the next higher spatial ones takes its place: still
pictures have 64 bits too.

A video turned, mirrored, cropped, or of another length has another hash.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from vfm.shards.array_types import Float64, UInt8
from vfm.video2token.analysis.signal import THUMBNAIL_HEIGHT_PX, THUMBNAIL_WIDTH_PX, Signal, Thumbnail

WANTS_VECTORS = False
NUM_BITS = 64
_ROWS, _COLUMNS, _TIMES = 9, 16, 16
_NUM_TEMPORAL, _NUM_SPATIAL = 4, 16
_MAX_BINS = 256  # 128 to 256 of them hold any video longer than 2 s
_FIRST_BIN_S = 1 / 64
# A wave of a thirtieth of a grey level: what is still must not hash the rounding of its codec.
_DEAD_ZONE = math.sqrt(_TIMES * _ROWS * _COLUMNS / 8) / 30


def build() -> Signal:
    """Return the hash signal of one video: 16 hexadecimal digits, None for a video without frames."""
    return _Hash()


def distance(one: str, other: str) -> int:
    """Return how many of 64 bits differ between two hashes."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


class _Hash:
    """Means of the luma over equal spans of time, which double whenever there are too many of them."""

    def __init__(self) -> None:
        self._sums = np.zeros((_MAX_BINS, _ROWS, _COLUMNS))
        self._counts = np.zeros(_MAX_BINS)
        self._bin_s = _FIRST_BIN_S
        self._first_s: float | None = None

    def add(self, thumbnail: Thumbnail) -> None:
        if self._first_s is None:
            self._first_s = thumbnail.time_s
        since_s = thumbnail.time_s - self._first_s
        while since_s >= _MAX_BINS * self._bin_s:
            self._double()
        index = int(since_s / self._bin_s)
        self._sums[index] += _pooled(thumbnail.yuv[0])
        self._counts[index] += 1

    def result(self) -> Any:
        if not self._counts.any():
            return None
        return hash_of(self._cube())

    def _double(self) -> None:
        half = _MAX_BINS // 2
        self._sums[:half] = self._sums[0::2] + self._sums[1::2]
        self._counts[:half] = self._counts[0::2] + self._counts[1::2]
        self._sums[half:], self._counts[half:] = 0, 0
        self._bin_s *= 2

    def _cube(self) -> Float64:
        """Return float64 [16, 9, 16]: the mean picture of each sixteenth of the time."""
        filled = np.flatnonzero(self._counts)
        # Where no frame falls into a span of time, the one before is still shown.
        shown = filled[np.searchsorted(filled, np.arange(filled[-1] + 1), side="right") - 1]
        means = self._sums[shown] / self._counts[shown, None, None]
        ends = np.linspace(0, len(means), _TIMES + 1)
        return np.stack([_mean_between(means, start, end) for start, end in pairwise(ends)])


def hash_of(cube: Float64) -> str:
    """Return the hash of a cube of luma, float64 [16, 9, 16], 0 to 255."""
    coefficients = np.einsum(
        "ut,vh,xw,thw->uvx", _cosines(_TIMES), _cosines(_ROWS), _cosines(_COLUMNS), cube, optimize=False
    )
    still = [coefficients[0, row, column] for row, column in _lowest_frequencies(NUM_BITS)]
    moving = [
        coefficients[time, row, column]
        for time in range(1, _NUM_TEMPORAL)
        for row, column in _lowest_frequencies(_NUM_SPATIAL)
    ]
    told = still[:_NUM_SPATIAL] + [
        change if abs(change) > _DEAD_ZONE else instead
        for change, instead in zip(moving, still[_NUM_SPATIAL:], strict=True)
    ]
    return f"{sum(1 << bit for bit, value in enumerate(told) if value > _DEAD_ZONE):016x}"


def _pooled(luma: UInt8) -> Float64:
    blocks = luma.reshape(_ROWS, THUMBNAIL_HEIGHT_PX // _ROWS, _COLUMNS, THUMBNAIL_WIDTH_PX // _COLUMNS)
    means: Float64 = blocks.mean(axis=(1, 3))
    return means


def _mean_between(means: Float64, start: float, end: float) -> Float64:
    """Return the mean over the span from ``start`` to ``end``, in bins; bins may be cut."""
    indices = np.arange(int(start), min(len(means), math.ceil(end)))
    weights = np.minimum(indices + 1, end) - np.maximum(indices, start)
    total: Float64 = (means[indices] * weights[:, None, None]).sum(axis=0) / weights.sum()
    return total


def _cosines(length: int) -> Float64:
    """Return the rows of the orthonormal DCT-II of ``length`` values, without the first row's own factor."""
    frequency, place = np.ogrid[:length, :length]
    waves: Float64 = np.cos(np.pi * (place + 0.5) * frequency / length) * math.sqrt(2 / length)
    return waves


def _lowest_frequencies(count: int) -> list[tuple[int, int]]:
    """Return the lowest (vertical, horizontal) frequencies but (0, 0), by their sum."""
    every = [(row, column) for row in range(_ROWS) for column in range(_COLUMNS)]
    return sorted(every, key=lambda place: (sum(place), place[0]))[1 : count + 1]
