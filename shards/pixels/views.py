"""Views: resize, crop and flip as explicit data, so that target and student see the same pixels."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from vfm.shards.array_types import UInt8
from vfm.shards.errors import UsageError
from vfm.shards.pixels.resized_crop import Rectangle, ResizedCrop

Offset = int | Literal["start", "centre", "end"]
_STEPS = {"start": 0, "centre": 1, "end": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of a frame, of any shape, whatever the size of the frame.

    Attributes:
        top: where it lies, 0..1: 0 at the upper edge, 1 at the lower one.
        left: the same across, 0 at the left edge.
        height: as a share of the frame's short side, above 0 and at most 1.
        width: the same.
    """

    top: float
    left: float
    height: float
    width: float

    def __post_init__(self) -> None:
        """Refuse a box that no frame can hold."""
        for name, low in (("top", 0.0), ("left", 0.0), ("height", 1e-3), ("width", 1e-3)):
            if not low <= getattr(self, name) <= 1:
                raise UsageError(f"A box with {name} {getattr(self, name)} does not fit: use {low:g} to 1.")

    def cut(self, height_px: int, width_px: int) -> Rectangle:
        """Return where it lies in a frame of this size."""
        short_px = min(height_px, width_px)
        tall_px, wide_px = (max(int(short_px * share), 1) for share in (self.height, self.width))
        top, left = int(self.top * (height_px - tall_px)), int(self.left * (width_px - wide_px))
        return Rectangle(top, left, tall_px, wide_px)

    def shortest_side(self, _height_px: int, _width_px: int) -> float:
        """Return its shorter side as a share of the short side of a frame of any size."""
        return min(self.height, self.width)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a frame is turned into the square that an encoder is given.

    Attributes:
        resize_px: the short side after resizing; the long side keeps the ratio, rounded down.
        crop_px: both sides of the square cut from the resized frame, at most ``resize_px``.
        top: first row of the square in the resized frame: a number, or ``start``, ``centre`` or ``end``,
            which is int(k (resized - crop_px) / 2) for k = 0, 1, 2 (VIMPAC's data preparation).
        left: first column of the square, in the same words.
        box: a part of the frame that is cut out first and made into the square, without keeping its shape;
            ``resize_px``, ``top`` and ``left`` then have nothing left to say.
        resized: the same, for a part that has a share of the frame's area, in place of ``box``.
        flip: whether the square is mirrored left to right, last of all.
    """

    resize_px: int
    crop_px: int
    top: Offset = "centre"
    left: Offset = "centre"
    box: Box | None = None
    resized: ResizedCrop | None = None
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
        if self.box is not None and self.resized is not None:
            raise UsageError("A view has a box or a resized crop, not both: leave one of them out.")
        own = (self.resize_px, self.top, self.left)
        if self.part is not None and own != (self.crop_px, "centre", "centre"):
            name = "box" if self.part is self.box else "resized crop"
            raise UsageError(
                f"A view with a {name} has no resize_px, top and left of its own: leave them out."
            )

    @property
    def part(self) -> Box | ResizedCrop | None:
        """What is cut out first; None where the whole frame is resized."""
        return self.box or self.resized

    def short_px(self, height_px: int, width_px: int) -> float:
        """Return the short side, in pixels, of a frame of this shape of which nothing is enlarged."""
        if self.part is None:
            return self.resize_px
        return self.crop_px / self.part.shortest_side(height_px, width_px)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, as they stand in a column's options."""
        values = asdict(self)
        for name in ("box", "resized"):  # columns that were made before there were such stay what they are
            if values[name] is None:
                del values[name]
        if self.resized is not None:
            values["resized"]["draws"] = [list(draw) for draw in self.resized.draws]
        return values


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
    if view.part is not None:
        cut = view.part.cut(*frames.shape[1:3])
        frames = frames[:, cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
        height_px = width_px = view.crop_px
    else:
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
