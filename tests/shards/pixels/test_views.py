"""Views place crops as VIMPAC's data preparation does."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vfm.shards.columns.options import views_in
from vfm.shards.errors import UsageError
from vfm.shards.pixels.resized_crop import ResizedCrop
from vfm.shards.pixels.views import Box, View, apply_view, centre, resized_size


def numbered(height: int, width: int) -> np.ndarray:
    """Return one frame whose pixels tell their row and column: uint8 [1, H, W, 3]."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows * 0], axis=-1).astype(np.uint8)[None]


@pytest.mark.parametrize(
    ("size", "offset"), [((10, 10), (0, 0)), ((10, 15), (0, 2)), ((13, 10), (1, 0)), ((10, 16), (0, 3))]
)
def test_centre_cuts_the_middle(size: tuple[int, int], offset: tuple[int, int]) -> None:
    square = apply_view(numbered(*size), centre(10))
    assert square.shape == (1, 10, 10, 3)
    assert tuple(square[0, 0, 0, :2]) == offset


@pytest.mark.parametrize(("place", "left"), [("start", 0), ("centre", 2), ("end", 5), (4, 4)])
def test_offsets(place: Any, left: int) -> None:
    square = apply_view(numbered(10, 15), View(resize_px=10, crop_px=10, left=place))
    assert square[0, 0, 0, 1] == left


def test_flip_mirrors_the_square() -> None:
    plain = apply_view(numbered(10, 15), centre(10))
    flipped = apply_view(numbered(10, 15), View(resize_px=10, crop_px=10, flip=True))
    np.testing.assert_array_equal(flipped, plain[:, :, ::-1])
    assert flipped.flags.c_contiguous


def test_resize_is_pillows_bicubic() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 31, 3), dtype=np.uint8)
    expected = [
        np.asarray(Image.fromarray(frame).resize((15, 10), Image.Resampling.BICUBIC))[1:9, 3:11]
        for frame in frames
    ]
    np.testing.assert_array_equal(apply_view(frames, View(resize_px=10, crop_px=8)), expected)


def test_frames_of_the_right_size_are_not_touched() -> None:
    frames = numbered(10, 10)
    assert np.shares_memory(apply_view(frames, centre(10)), frames)


@pytest.mark.parametrize(
    ("size", "resized"), [((240, 320), (128, 170)), ((320, 240), (170, 128)), ((64, 64), (128, 128))]
)
def test_the_long_side_is_rounded_down(size: tuple[int, int], resized: tuple[int, int]) -> None:
    assert resized_size(*size, resize_px=128) == resized


def test_views_survive_as_json_values() -> None:
    view = View(resize_px=160, crop_px=128, top="start", left=7, flip=True)
    assert views_in({"views": [view.to_dict()]}, name="c") == (view,)
    assert view.to_dict() == {"resize_px": 160, "crop_px": 128, "top": "start", "left": 7, "flip": True}


def test_a_box_is_cut_by_shares_of_the_short_side_and_made_square() -> None:
    box = Box(top=1.0, left=0.25, height=0.5, width=1.0)
    view = View(resize_px=10, crop_px=10, box=box)
    frames = numbered(
        20, 40
    )  # 10 rows at the bottom, 20 columns from a quarter of the 20 px there are to spare
    expected = Image.fromarray(frames[0, 10:20, 5:25]).resize((10, 10), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(apply_view(frames, view), np.asarray(expected)[None])
    mirrored = View(resize_px=10, crop_px=10, box=box, flip=True)
    np.testing.assert_array_equal(apply_view(frames, mirrored), np.asarray(expected)[None, :, ::-1])
    assert view.short_px(20, 40) == view.short_px(50, 30) == 20
    assert views_in({"views": [mirrored.to_dict()]}, name="c") == (mirrored,)
    assert centre(10).short_px(20, 40) == 10
    whole = View(resize_px=20, crop_px=20, box=Box(top=0.5, left=0.5, height=1.0, width=1.0))
    np.testing.assert_array_equal(apply_view(frames, whole), apply_view(frames, centre(20)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top": -0.1}, "top -0.1 does not fit: use 0 to 1"),
        ({"left": 1.1}, "left 1.1 does not fit"),
        ({"height": 0.0}, "height 0.0 does not fit: use 0.001 to 1"),
        ({"width": 1.5}, "width 1.5 does not fit"),
        ({"width": float("nan")}, "width nan does not fit"),
    ],
)
def test_boxes_that_no_frame_holds_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Box(**{"top": 0.0, "left": 0.0, "height": 1.0, "width": 1.0, **fields})


def test_a_resized_crop_is_cut_by_its_area_and_made_square() -> None:
    crop = ResizedCrop(top=0.5, left=0.25, draws=((0.9, 0.75), (0.5, 1.0)))
    view = View(resize_px=10, crop_px=10, resized=crop)
    frames = numbered(20, 40)  # of 0.9, the shape 3:4 would be 31 rows
    expected = Image.fromarray(frames[0, :, 5:25]).resize((10, 10), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(apply_view(frames, view), np.asarray(expected)[None])
    mirrored = View(resize_px=10, crop_px=10, resized=crop, flip=True)
    np.testing.assert_array_equal(apply_view(frames, mirrored), np.asarray(expected)[None, :, ::-1])
    assert view.short_px(20, 40) == view.short_px(100, 200) == pytest.approx(10)
    assert view.short_px(20, 20) == pytest.approx(10 / 0.5**0.5)
    values = mirrored.to_dict()
    assert values == json.loads(json.dumps(values))  # as they are compared with those of a manifest
    assert views_in({"views": [values]}, name="c") == (mirrored,)
    assert "resized" not in centre(10).to_dict()


def test_a_view_with_a_box_has_no_other_place() -> None:
    box = Box(top=0.0, left=0.0, height=1.0, width=1.0)
    with pytest.raises(UsageError, match="has no resize_px, top and left of its own"):
        View(resize_px=12, crop_px=10, box=box)
    with pytest.raises(UsageError, match="leave them out"):
        View(resize_px=10, crop_px=10, left=3, box=box)
    crop = ResizedCrop(top=0.0, left=0.0, draws=((0.5, 1.0),))
    with pytest.raises(UsageError, match="A view with a resized crop has no resize_px, top and left"):
        View(resize_px=12, crop_px=10, resized=crop)
    with pytest.raises(UsageError, match="has a box or a resized crop, not both"):
        View(resize_px=10, crop_px=10, box=box, resized=crop)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resize_px": 10, "crop_px": 11}, "11 px does not fit a short side of 10 px"),
        ({"resize_px": 10, "crop_px": 0}, "0 px does not fit"),
        ({"resize_px": 10, "crop_px": 10, "top": "middle"}, "'middle' is unknown: use start, centre, end"),
    ],
)
def test_views_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        View(**fields)


def test_an_offset_outside_the_frame_is_refused() -> None:
    with pytest.raises(UsageError, match="has 5 px to spare: use an offset between 0 and 5"):
        apply_view(numbered(10, 15), View(resize_px=10, crop_px=10, left=6))
