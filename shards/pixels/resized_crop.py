"""Crops of random area and shape, for frames of any size (Szegedy et al. 2015, section 6).

What does not fit into a frame is drawn again, ten times; then it is the middle, as large as its shape allows.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vfm.shards.errors import UsageError

SHAPES = (3 / 4, 4 / 3)  # width over height
NUM_DRAWS = 10


class Rectangle(NamedTuple):
    """A part of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Draw(NamedTuple):
    """What a crop is to be.

    Attributes:
        area: share of the frame's area.
        shape: width over height.
    """

    area: float
    shape: float

    def sides(self, area_px: int) -> tuple[int, int]:
        """Return height and width in a frame of so many pixels, whether they fit or not."""
        area = self.area * area_px
        return round(math.sqrt(area / self.shape)), round(math.sqrt(area * self.shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizedCrop:
    """A part of a frame by its area and shape, which another frame has elsewhere and larger.

    Attributes:
        top: where it lies, as a share of the room there is: 0 at the upper edge, 1 at the lower one.
        left: the same across, 0 at the left edge.
        draws: pairs of area, as a share of the frame's, and width over height; the first that fits counts.
    """

    top: float
    left: float
    draws: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Refuse what no frame can hold."""
        for name in ("top", "left"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"A crop with {name} {getattr(self, name)} does not fit: use 0 to 1.")
        for area, shape in self.draws:
            if not (1e-6 <= area <= 1 and 1e-3 <= shape <= 1e3):
                raise UsageError(
                    f"A crop of {area} of the area, {shape} as wide as high, does not fit: use an area of "
                    "0.000001 to 1 and a shape of 0.001 to 1000."
                )

    def cut(self, height_px: int, width_px: int) -> Rectangle:
        """Return where it lies in a frame of this size."""
        draw = self._draw(height_px, width_px)
        if draw is None:
            return middle(height_px, width_px)
        height, width = draw.sides(height_px * width_px)
        top, left = round(self.top * (height_px - height)), round(self.left * (width_px - width))
        return Rectangle(top, left, height, width)

    def shortest_side(self, height_px: int, width_px: int) -> float:
        """Return its shorter side as a share of the short side of a frame of this size."""
        draw = self._draw(height_px, width_px)
        if draw is None:
            return 1.0  # the middle has the whole of it
        area = draw.area * height_px * width_px
        return math.sqrt(min(area / draw.shape, area * draw.shape)) / min(height_px, width_px)

    def _draw(self, height_px: int, width_px: int) -> Draw | None:
        return first_fitting(map(Draw._make, self.draws), height_px, width_px)


def draw_shape(
    *, areas: tuple[float, float], shapes: tuple[float, float] = SHAPES, rng: np.random.Generator
) -> Draw:
    """Return a random area, uniform, and shape, uniform in its logarithm."""
    area = rng.uniform(*areas)
    return Draw(area, math.exp(rng.uniform(math.log(shapes[0]), math.log(shapes[1]))))


def first_fitting(draws: Iterable[Draw], height_px: int, width_px: int) -> Draw | None:
    """Return the first that a frame can hold; None where it holds none, or of nothing."""
    for draw in draws:
        height, width = draw.sides(height_px * width_px)
        if 0 < height <= height_px and 0 < width <= width_px:
            return draw
    return None


def middle(height_px: int, width_px: int) -> Rectangle:
    """Return the middle of a frame, as large as its shape allows."""
    width = min(width_px, round(height_px * SHAPES[1]))
    height = min(height_px, round(width_px / SHAPES[0]))
    return Rectangle((height_px - height) // 2, (width_px - width) // 2, height, width)
