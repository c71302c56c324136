"""The one way pictures are scaled and their colours converted: swscale, bicubic and exact."""

from typing import TYPE_CHECKING

from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame

# Bicubic and exact: the same bytes on every processor.
SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
)
_BETWEEN = "yuv444p16le"


class Scaler:
    """What swscale prepares once and uses for every frame of a video.

    Attributes:
        whole: from the decoded picture to RGB in one step.
        first: to the stored size, in 16-bit YUV.
        second: from there to RGB.
    """

    def __init__(self) -> None:
        self.whole = VideoReformatter()
        self.first = VideoReformatter()
        self.second = VideoReformatter()


def scale(
    frame: "VideoFrame", size: tuple[int, int], *, scaler: Scaler, is_deep: bool = False
) -> "np.ndarray":
    """Return [H,W,3] RGB of ``size`` (width, height).

    uint8, or uint16 when ``is_deep``: then without any rounding to 8 bits on the way, and with the levels
    that ``color.deep_levels`` tells.
    """
    width, height = size
    if not is_deep and _is_limited_yuv(frame) and width * height < frame.width * frame.height:
        # swscale's step to RGB is slow for each row it reads: so it reads those of the small picture. 16 bits
        # between the steps leave it at one rounding.
        frame = scaler.first.reformat(
            frame,
            width,
            height,
            format=_BETWEEN,
            interpolation=SCALING,
            threads=1,
        )
        return scaler.second.reformat(frame, format="rgb24", interpolation=SCALING, threads=1).to_ndarray()
    return scaler.whole.reformat(
        frame, width, height, format="rgb48le" if is_deep else "rgb24", interpolation=SCALING, threads=1
    ).to_ndarray()


def _is_limited_yuv(frame: "VideoFrame") -> bool:
    """Return whether a picture is YUV of limited range, which is what the two steps are exact for."""
    pix_fmt = frame.format
    is_yuv = not pix_fmt.is_rgb and not pix_fmt.has_palette and len(pix_fmt.components) == 3
    return is_yuv and frame.color_range != ColorRange.JPEG and not pix_fmt.name.startswith("yuvj")
