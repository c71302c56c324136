"""When the frames of a video are shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_NUM_AT_ONCE = 1 << 16  # a day of video has millions of pictures: as Python's numbers they take much memory


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTimes:
    """When the frames of a video are shown, in the order of their showing.

    Attributes:
        pts: strictly increasing, in units of the stream's time base.
        durations: how long each says it is shown, in the same units; 0 when it does not say.
        is_counted: whether a decoder may give its frames other times, so that only their order tells them.
    """

    pts: Sequence[int]
    durations: Sequence[int]
    is_counted: bool = False


class Timeline(NamedTuple):
    """The pictures that a full decode would show, in the order of their times.

    Attributes:
        pts: int64 [pictures], ascending.
        duration: int64 [pictures].
    """

    pts: np.ndarray
    duration: np.ndarray

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield presentation time and duration of each picture."""
        for start in range(0, len(self.pts), _NUM_AT_ONCE):
            part = slice(start, start + _NUM_AT_ONCE)
            yield from zip(self.pts[part].tolist(), self.duration[part].tolist(), strict=True)
