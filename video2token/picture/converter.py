"""From a decoded picture to the upright RGB that is stored: size, orientation, aspect, colour, flags."""

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from vfm.video2token.picture.alpha import announces_alpha, flatten, has_alpha
from vfm.video2token.picture.color import PixelCoding, describe_color, matrix_to_use, spread
from vfm.video2token.picture.deinterlace import deinterlace
from vfm.video2token.picture.geometry import MAX_ASPECT, Orientation, orientation_of, stored_size
from vfm.video2token.picture.scaling import Scaler, scale
from vfm.video2token.picture.tonemap import to_sdr
from vfm.video2token.rejection import RejectReason, VideoRejected

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_STORED_PIXELS = 1 << 24  # nothing larger is allocated for a stored picture


class PictureConverter:
    """How the frames of one video are to be seen.

    Size and orientation are fixed by the first frame; everything else each frame says for itself.
    ``docs/explanation/picture.md`` has the rules and how exact they are.

    Raises:
        VideoRejected: when the frames would be too large, or their shape or colours cannot be made out.
    """

    def __init__(self, frame: "VideoFrame", *, stream: "VideoStream", size_px: int) -> None:
        self.source_width_px, self.source_height_px = frame.width, frame.height
        self.pix_fmt = frame.format.name
        self.orientation = _orientation(frame)
        self.aspect = _aspect(stream)
        self.color = _color(frame)
        self.width_px, self.height_px = stored_size(
            frame.width,
            frame.height,
            aspect=self.aspect,
            transpose=self.orientation.transpose,
            size_px=size_px,
        )
        if self.width_px * self.height_px > MAX_STORED_PIXELS:
            raise VideoRejected(
                RejectReason.TOO_LARGE,
                f"Its frames would be stored as {self.width_px} x {self.height_px} pixels.",
            )
        self._codec = stream.codec_context.codec.canonical_name
        self._scaler = Scaler()
        self._flags = {"mirrored"} if self.orientation.mirrored else set()
        if announces_alpha(stream):
            self._flags.add("alpha")

    @property
    def flags(self) -> tuple[str, ...]:
        """What was special about the frames so far, sorted: alpha, hdr, interlaced, mirrored, size_change."""
        return tuple(sorted(self._flags))

    def to_rgb(self, frame: "VideoFrame") -> np.ndarray:
        """Return uint8 [H,W,3] at the stored size, also where the stream changes its size on the way.

        Raises:
            VideoRejected: when the frame's colours cannot be converted.
        """
        try:
            return self._upright(frame)
        except MemoryError:
            raise
        except av.FFmpegError:
            raise VideoRejected(
                RejectReason.UNSUPPORTED, f"Its pictures ({frame.format.name}) cannot be converted to RGB."
            ) from None

    def _upright(self, frame: "VideoFrame") -> np.ndarray:
        if (frame.width, frame.height) != (self.source_width_px, self.source_height_px):
            self._flags.add("size_change")
        coding = _coding(frame)
        if frame.interlaced_frame:
            self._flags.add("interlaced")
            frame = deinterlace(frame)
        if has_alpha(frame.format):
            frame, is_transparent = flatten(frame, scaler=self._scaler)
            self._flags |= {"alpha"} if is_transparent else set()
        if coding.is_hdr:
            self._flags.add("hdr")
        return self.orientation.upright(self._scaled(frame, coding))

    def _scaled(self, frame: "VideoFrame", coding: PixelCoding) -> np.ndarray:
        size = (self.width_px, self.height_px)
        if self.orientation.transpose:
            size = size[::-1]
        # Alpha flattened in 16 bits is not yet at 8-bit levels, whatever the format it came from.
        if coding.is_plain(self._codec) and frame.format.name != "rgb48le":
            return scale(frame, size, scaler=self._scaler)
        rgb = scale(frame, size, scaler=self._scaler, is_deep=True)
        black, white = coding.deep_levels(self._codec)
        if not coding.is_hdr:
            return spread(rgb, black=black, white=white)
        return to_sdr(rgb, transfer=coding.transfer, primaries=coding.primaries, white=white)


def _orientation(frame: "VideoFrame") -> Orientation:
    # Its declared type knows names only, while asking by name raises for what PyAV has no name for.
    matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    return orientation_of(None if matrix is None else bytes(matrix))


def _aspect(stream: "VideoStream") -> Fraction:
    """Return the shape of the pixels: what the container says, else the coded stream, else square."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if not 1 <= aspect * MAX_ASPECT <= MAX_ASPECT**2:
        raise VideoRejected(
            RejectReason.BAD_ASPECT,
            f"Its pixels are said to be {aspect.numerator}:{aspect.denominator} in shape; "
            f"1:{MAX_ASPECT} to {MAX_ASPECT}:1 is what can be shown.",
        )
    return aspect


def _color(frame: "VideoFrame") -> dict[str, str]:
    return describe_color(
        space=int(frame.colorspace),
        # yuvj formats are full range by their name, whatever the flag says
        value_range=2 if frame.format.name.startswith("yuvj") else int(frame.color_range),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
    )


def _coding(frame: "VideoFrame") -> PixelCoding:
    """Return how a frame's numbers are meant, and leave it marked with a matrix that swscale knows."""
    pix_fmt, color, space = frame.format, _color(frame), int(frame.colorspace)
    matrix = 0 if pix_fmt.is_rgb else matrix_to_use(space, primaries=int(frame.color_primaries))
    if matrix is None:
        raise VideoRejected(
            RejectReason.UNSUPPORTED,
            f"Its colours are coded by matrix {space} of H.273 ({color['space']}), which vfm cannot convert: "
            "convert the video to BT.709.",
        )
    if matrix != frame.colorspace:
        frame.colorspace = matrix
    return PixelCoding(
        pix_fmt=pix_fmt.name,
        bits=max(component.bits for component in pix_fmt.components),
        is_rgb=pix_fmt.is_rgb,
        value_range=int(frame.color_range),
        transfer=color["transfer"],
        primaries=color["primaries"],
    )
