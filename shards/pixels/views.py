"""Views: resize, crop and flip as explicit data, so that target and student see the same pixels."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from PIL import Image

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError

Offset = int | Literal["start", "centre", "end"]
_STEPS = {"start": 0, "centre": 1, "end": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a frame is turned into the square that an encoder is given.

    Attributes:
        resize_px: the short side after resizing; the long side keeps the ratio, rounded down.
        crop_px: both sides of the square cut from the resized frame, at most ``resize_px``.
        top: first row of the square in the resized frame: a number, or ``start``, ``centre`` or ``end``,
            which is int(k (resized - crop_px) / 2) for k = 0, 1, 2 (VIMPAC's data preparation).
        left: first column of the square, in the same words.
        flip: whether the square is mirrored left to right, last of all.
    """

    resize_px: int
    crop_px: int
    top: Offset = "centre"
    left: Offset = "centre"
    flip: bool = False

    def __post_init__(self) -> None:
        """Refuse a square that no frame can hold."""
        if not 1 <= self.crop_px <= self.resize_px:
            raise UsageError(
                f"A crop of {self.crop_px} px does not fit a short side of {self.resize_px} px: "
                "use a crop between 1 px and the short side."
            )
        for offset in (self.top, self.left):
            if isinstance(offset, str) and offset not in _STEPS:
                raise UsageError(f"Crop offset {offset!r} is unknown: use start, centre, end or a number.")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, as they stand in a column's options."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """Return the view of ``to_dict``."""
        return cls(**value)


def centre(crop_px: int) -> View:
    """Return the view that resizes the short side to ``crop_px`` and keeps the middle square."""
    return View(resize_px=crop_px, crop_px=crop_px)


def apply_view(frames: UInt8, view: View) -> UInt8:
    """Return what ``view`` shows of ``frames``.

    Args:
        frames: uint8 [T, H, W, 3], RGB.
        view: resized with Pillow's bicubic filter, and only where the size differs.

    Returns:
        uint8 [T, crop_px, crop_px, 3], C-contiguous; a copy unless nothing had to change.

    Raises:
        UsageError: explicit offsets lead out of the resized frame.
    """
    height_px, width_px = resized_size(frames.shape[1], frames.shape[2], resize_px=view.resize_px)
    top = _place(view.top, spare_px=height_px - view.crop_px)
    left = _place(view.left, spare_px=width_px - view.crop_px)
    if (height_px, width_px) != frames.shape[1:3]:
        frames = _resize(frames, height_px=height_px, width_px=width_px)
    square = frames[:, top : top + view.crop_px, left : left + view.crop_px]
    return np.ascontiguousarray(square[:, :, ::-1] if view.flip else square)


def resized_size(height_px: int, width_px: int, *, resize_px: int) -> tuple[int, int]:
    """Return (height, width) in px once the short side is ``resize_px`` and the long side follows."""
    short_px = min(height_px, width_px)
    return height_px * resize_px // short_px, width_px * resize_px // short_px


def _place(offset: Offset, *, spare_px: int) -> int:
    if isinstance(offset, str):
        return _STEPS[offset] * spare_px // 2
    if not 0 <= offset <= spare_px:
        raise UsageError(
            f"A crop at {offset} px reaches outside the frame, which has {spare_px} px to spare: "
            f"use an offset between 0 and {spare_px}."
        )
    return offset


def _resize(frames: UInt8, *, height_px: int, width_px: int) -> UInt8:
    resized = np.empty((len(frames), height_px, width_px, 3), np.uint8)
    for out, frame in zip(resized, frames, strict=True):
        image = Image.fromarray(np.ascontiguousarray(frame))
        out[:] = np.asarray(image.resize((width_px, height_px), Image.Resampling.BICUBIC))
    return resized
