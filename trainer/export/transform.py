"""From the frames of a clip to what an encoder takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError
from vfm.trainer.data.clips import PixelReader


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTransform:
    """Resizes, cuts the middle square and normalizes, as tests of the encoder do.

    Attributes:
        num_frames: of a clip.
        reader: that cuts squares of frames.
        normalized: what becomes of squares uint8 [1, T, S, S, 3]: float [1, 3, T, S, S].
    """

    num_frames: int
    reader: PixelReader
    normalized: Callable[[UInt8], Tensor]

    @property
    def size_px(self) -> int:
        """Side of the square."""
        return self.reader.view.crop_px

    def __call__(self, frames: UInt8 | Sequence[UInt8]) -> Tensor:
        """Return float32 [3, T, S, S] of the frames of one clip.

        Args:
            frames: T arrays uint8 [H, W, 3], RGB, of one size.

        Raises:
            UsageError: they are of another shape or type, or not as many as a clip has.
        """
        clip = np.asarray(frames)
        if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or len(clip) != self.num_frames:
            raise UsageError(
                f"A clip is {clip.dtype} {list(clip.shape)}, but must be uint8 [{self.num_frames}, height, "
                "width, 3]: give as many RGB frames of one size."
            )
        square = self.reader.cut(clip, crop_px=self.size_px, num_crops=1)[0]
        return self.normalized(square[None])[0]
