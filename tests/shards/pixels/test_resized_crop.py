"""Crops by area and shape: which draw counts, and where it lies."""

from typing import Any

import pytest

from vfm.shards.errors import UsageError
from vfm.shards.pixels.resized_crop import Draw, ResizedCrop, middle


def crop(*draws: tuple[float, float], top: float = 0.5, left: float = 0.5) -> ResizedCrop:
    return ResizedCrop(top=top, left=left, draws=draws)


@pytest.mark.parametrize(
    ("size", "rectangle"),
    [
        ((20, 40), (0, 5, 20, 20)),  # the first draw is 31 px high
        ((30, 30), (4, 2, 21, 21)),  # 33
        ((40, 20), (3, 0, 34, 20)),  # 23 px wide
        ((40, 21), (3, 0, 34, 21)),
    ],
)
def test_the_first_draw_that_fits_counts(size: tuple[int, int], rectangle: tuple[int, ...]) -> None:
    draws = (0.9, 0.75), (0.85, 0.6), (0.5, 1.0)
    assert crop(*draws, top=0.5, left=0.25).cut(*size) == rectangle


def test_sides_are_those_of_the_area() -> None:
    assert Draw(0.5, 4 / 3).sides(480 * 640) == (339, 453)
    assert Draw(1.0, 1.0).sides(900) == (30, 30)


@pytest.mark.parametrize(
    ("size", "rectangle"),
    [((20, 40), (0, 6, 20, 27)), ((40, 20), (6, 0, 27, 20)), ((30, 30), (0, 0, 30, 30))],
)
def test_where_no_draw_fits_it_is_the_middle(size: tuple[int, int], rectangle: tuple[int, ...]) -> None:
    wide_and_tall = crop((1.0, 9.0), (1.0, 1 / 9), top=1.0, left=0.0)
    assert wide_and_tall.cut(*size) == middle(*size) == rectangle
    assert wide_and_tall.shortest_side(*size) == 1.0
    assert crop().cut(*size) == rectangle


def test_the_shorter_side_is_a_share_of_the_frames() -> None:
    half = crop((0.5, 0.75))
    assert half.shortest_side(100, 100) == pytest.approx((0.5 * 0.75) ** 0.5)
    assert half.shortest_side(100, 120) == half.shortest_side(200, 240) == pytest.approx((0.6 * 0.75) ** 0.5)
    assert crop((0.5, 4 / 3)).shortest_side(120, 100) == pytest.approx((0.6 * 0.75) ** 0.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top": -0.1}, "top -0.1 does not fit: use 0 to 1"),
        ({"left": float("nan")}, "left nan does not fit"),
        ({"draws": ((0.0, 1.0),)}, "A crop of 0.0 of the area, 1.0 as wide as high, does not fit"),
        ({"draws": ((0.5, 1.0), (1.5, 1.0))}, "1.5 of the area"),
        ({"draws": ((0.5, 0.0),)}, "0.0 as wide as high"),
        ({"draws": ((float("nan"), 1.0),)}, "nan of the area"),
    ],
)
def test_crops_that_no_frame_holds_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ResizedCrop(**{"top": 0.0, "left": 0.0, "draws": (), **fields})
