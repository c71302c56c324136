"""What every signal takes and gives: the contract, and the small pictures all of them look at."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import UInt8

THUMBNAIL_WIDTH_PX = 64
THUMBNAIL_HEIGHT_PX = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """One decoded frame, as small as the signals need it.

    Attributes:
        time_s: presentation time, seconds from the video's first frame; each later than the one before.
        yuv: uint8 [3, 36, 64], Y'CbCr as the video has it, stretched to this size whatever its shape.
        kind: how the frame was coded: from itself, from one other, or from two; empty when not told.
        vectors: the codec's motion vectors, one structured row for a block (AVMotionVector of FFmpeg's
            ``motion_vector.h``); None when the frame has none or nobody asked.
        width_px: width of the frame that the vectors are measured in.
        height_px: its height.
    """

    time_s: float
    yuv: UInt8
    kind: Literal["I", "P", "B", ""]
    vectors: npt.NDArray[np.void] | None
    width_px: int
    height_px: int


class Signal(Protocol):
    """One signal of one video; a file of this folder has ``build() -> Signal`` and ``WANTS_VECTORS: bool``.

    Its state is bounded: a video of a day takes no more memory than one of a minute, a list of cuts apart.
    """

    def add(self, thumbnail: Thumbnail) -> None:
        """Take the next frame; frames come in the order they are shown."""

    def result(self) -> Any:
        """Return what goes into ``SampleMeta.signals`` under the file's name: JSON values."""
