"""From a decoded picture to the upright RGB that is stored: size, orientation, aspect, colour."""

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Interpolation, VideoReformatter

from vfm.video2token.color import describe_color
from vfm.video2token.decoders._base import MAX_STORED_PIXELS, DecoderRejected
from vfm.video2token.geometry import Orientation, orientation_of, stored_size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Bicubic and exact: the same bytes on every processor.
_SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
)


class Look:
    """How the frames of one video are to be seen, fixed by its first frame."""

    def __init__(self, frame: "VideoFrame", *, stream: "VideoStream", size_px: int) -> None:
        self.source_width_px, self.source_height_px = frame.width, frame.height
        self.pix_fmt = frame.format.name
        self.orientation = _orientation(frame)
        self.aspect = stream.sample_aspect_ratio or Fraction(1)
        self.color = describe_color(
            space=int(frame.colorspace),
            # yuvj formats are full range by their name, whatever the flag says
            value_range=2 if self.pix_fmt.startswith("yuvj") else int(frame.color_range),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
        )
        self.width_px, self.height_px = stored_size(
            frame.width,
            frame.height,
            aspect=self.aspect,
            transpose=self.orientation.transpose,
            size_px=size_px,
        )
        if self.width_px * self.height_px > MAX_STORED_PIXELS:
            raise DecoderRejected(
                "too_large", f"Its frames would be stored as {self.width_px} x {self.height_px} pixels."
            )
        self._scaler = VideoReformatter()

    def upright_rgb(self, frame: "VideoFrame") -> np.ndarray:
        """Return uint8 [H,W,3] at the stored size, also where the stream changes its size on the way."""
        width, height = self.width_px, self.height_px
        if self.orientation.transpose:
            width, height = height, width
        return self.orientation.upright(scale(frame, (width, height), scaler=self._scaler))


def scale(frame: "VideoFrame", size: tuple[int, int], *, scaler: VideoReformatter) -> np.ndarray:
    """Return uint8 [H,W,3] RGB of ``size`` (width, height), in one step from the decoded picture."""
    width, height = size
    return scaler.reformat(
        frame, width, height, format="rgb24", interpolation=_SCALING, threads=1
    ).to_ndarray()


def _orientation(frame: "VideoFrame") -> Orientation:
    # Its declared type knows names only, while asking by name raises for what PyAV has no name for.
    matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    return orientation_of(None if matrix is None else bytes(matrix))
