"""Where pixels go: display matrix, sample aspect ratio, and the size at which frames are stored."""

import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# Pixels wider or higher than this are a mistake: those of real formats lie between 1:2 and 3:1.
MAX_ASPECT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """How a decoded picture becomes upright: swap its axes, then mirror.

    Attributes:
        transpose: rows become columns, first of all.
        flip_x: then mirror left to right.
        flip_y: then mirror top to bottom.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether this is a mirror image and not only a rotation."""
        return (self.transpose + self.flip_x + self.flip_y) % 2 == 1

    @property
    def rotation_deg(self) -> int:
        """Clockwise rotation: 0, 90, 180 or 270; of a mirror image, after mirroring left to right."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def upright(self, frame: np.ndarray) -> np.ndarray:
        """Return ``frame`` [H,W,3] as it is to be seen, C-contiguous."""
        if self.transpose:
            frame = frame.swapaxes(0, 1)
        frame = frame[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return np.ascontiguousarray(frame)


def orientation_of(matrix: bytes | None) -> Orientation:
    """Return the orientation that a display matrix asks for, to the nearest quarter turn.

    Args:
        matrix: nine 32-bit integers in machine order, as FFmpeg's AV_FRAME_DATA_DISPLAYMATRIX:
            the picture's x axis goes to (m0, m1) and its y axis, which points down, to (m3, m4).
    """
    if matrix is None or len(matrix) != 36:
        return Orientation()
    x_to_x, x_to_y, _, y_to_x, y_to_y, *_ = struct.unpack("=9i", matrix)
    if abs(x_to_x) + abs(y_to_y) >= abs(x_to_y) + abs(y_to_x):
        return Orientation(flip_x=x_to_x < 0, flip_y=y_to_y < 0)
    return Orientation(transpose=True, flip_x=y_to_x < 0, flip_y=x_to_y < 0)


def stored_size(
    width: int, height: int, *, aspect: Fraction, transpose: bool, size_px: int
) -> tuple[int, int]:
    """Return width and height of the stored frames.

    Pixels are made square and the picture upright first. Then the short side is exactly ``size_px``, also
    when that enlarges, and the long side is ``int(long * size_px / short)``, computed without rounding
    on the way.

    Args:
        width: of the decoded picture in its own pixels.
        height: of the decoded picture in its own pixels.
        aspect: width of a pixel over its height.
        transpose: whether the upright picture swaps the two axes.
        size_px: length of the short side.
    """
    shown_width, shown_height = width * aspect, Fraction(height)
    if transpose:
        shown_width, shown_height = shown_height, shown_width
    if shown_width <= shown_height:
        return size_px, int(shown_height * size_px / shown_width)
    return int(shown_width * size_px / shown_height), size_px
