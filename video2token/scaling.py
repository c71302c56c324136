"""The one way pictures are scaled and their colours converted: swscale, bicubic and exact."""

from typing import TYPE_CHECKING

from av.video.reformatter import Interpolation, VideoReformatter

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame

# Bicubic and exact: the same bytes on every processor.
SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
)


def scale(
    frame: "VideoFrame", size: tuple[int, int], *, scaler: VideoReformatter, is_deep: bool = False
) -> "np.ndarray":
    """Return [H,W,3] RGB of ``size`` (width, height), in one step from the decoded picture.

    uint8, or uint16 when ``is_deep``: then without any rounding to 8 bits on the way, and with the levels
    that ``color.deep_levels`` tells.
    """
    width, height = size
    return scaler.reformat(
        frame, width, height, format="rgb48le" if is_deep else "rgb24", interpolation=SCALING, threads=1
    ).to_ndarray()
