"""The stored frames of a clip as one array."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vfm.shards.array_types import UInt8
from vfm.shards.clips import PAD

if TYPE_CHECKING:
    from vfm.shards.reading.dataset import Dataset


def shown_times(dataset: "Dataset", index: int, times: np.ndarray) -> list[int]:
    """Return the stored frames of a clip of pixels: past the end the last frame is shown again."""
    shown: list[int] = np.where(times == PAD, int(dataset.num_frames[index]) - 1, times).tolist()
    return shown


def read_frames(dataset: "Dataset", index: int, times: Sequence[int]) -> UInt8:
    """Return stored frames, uint8 [T, H, W, 3]; one that is wanted again is decoded once."""
    unique, places = np.unique(np.asarray(times), return_inverse=True)
    frames = dataset.frames(index, unique.tolist())
    return np.stack([frames[place] for place in places])  # copied once
