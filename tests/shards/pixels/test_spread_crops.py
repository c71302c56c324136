"""Crops of published tests: against numbers of the references, and their places by hand."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from vfm.shards.errors import UsageError
from vfm.shards.pixels.imagenet import MEAN, STD
from vfm.shards.pixels.spread_crops import resize_bilinear, slowfast_crops, spread_crops, three_crops


def normalized(squares):
    """Return squares [K, T, S, S, 3] as networks are given them, float32 [K, 3, T, S, S]."""
    return ((squares / 255 - MEAN) / STD).astype(np.float32).transpose(0, 4, 1, 2, 3)


@pytest.mark.needs("shared")
def test_views_are_those_of_the_reference(shared):
    fixture = shared / "golden" / "umt_test_views_a"
    of = json.loads(fixture.with_suffix(".json").read_text())["config"]
    tensors = load_file(fixture.with_suffix(".safetensors"))
    frames = tensors["input/frames"]
    assert frames.shape[:3] == (of["T"], of["H"], of["W"])
    views = spread_crops(frames, crop_px=of["short"], num_crops=of["crops"])
    np.testing.assert_allclose(normalized(views), tensors["output/views"], atol=1e-6)
    middle = spread_crops(frames, crop_px=of["short"], num_crops=1)
    np.testing.assert_allclose(normalized(middle)[0], tensors["output/val"], atol=1e-6)


@pytest.mark.needs("shared")
def test_crops_lie_where_the_reference_has_them(shared):
    cases = json.loads((shared / "golden" / "videomae_test_views_a.json").read_text())["cases"]
    assert cases
    for case in cases:
        height_px, width_px = case["height"], case["width"]
        rows, columns = np.indices((height_px, width_px))
        frame = np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)
        crops = spread_crops(frame[None], crop_px=case["short_side"], num_crops=case["crops"])
        found = [tuple(crop[0, 0, 0, :2]) for crop in crops]
        for view in case["views"]:
            assert found[view["crop"]] == (view["y0"], view["x0"])
            assert crops.shape[2:4] == tuple(view["shape"][2:])


def test_a_square_frame_is_one_crop_again_and_again():
    frames = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), np.uint8)
    crops = spread_crops(frames, crop_px=9, num_crops=3)
    assert crops.shape == (3, 2, 9, 9, 3)
    assert (crops == frames).all()
    with pytest.raises(UsageError, match="at least 1 crop, got 0"):
        spread_crops(frames, crop_px=9, num_crops=0)


def test_resizing_by_hand():
    frame = np.array([[0, 100], [200, 60]], np.uint8)
    frames = np.repeat(frame[None, :, :, None], 3, axis=3)
    larger = resize_bilinear(frames, height_px=4, width_px=2)[0, :, :, 0]
    # Rows lie at -1/4, 1/4, 3/4 and 5/4 of the first two: the outer ones are the edge.
    assert larger.tolist() == [[0, 100], [50, 90], [150, 70], [200, 60]]
    smaller = resize_bilinear(frames, height_px=1, width_px=1)
    assert smaller.tolist() == [[[[90, 90, 90]]]]
    assert resize_bilinear(frames, height_px=2, width_px=2) is frames


@pytest.mark.parametrize(("height_px", "width_px"), [(61, 97), (130, 20), (31, 70), (64, 1)])
def test_resizing_is_the_integer_arithmetic_of_its_definition(height_px, width_px):
    frames = np.random.default_rng(0).integers(0, 256, (2, 70, 45, 3), np.uint8)
    frames[1] = np.where(frames[1] > 127, 255, 0)  # the largest differences
    resized = resize_bilinear(frames[:, :, ::-1], height_px=height_px, width_px=width_px)
    rows, columns = neighbours(70, height_px), neighbours(45, width_px)
    wide = frames[:, :, ::-1].astype(np.int64)
    lines = sum(wide[:, :, near] * weights[:, None] for near, weights in columns) >> 4
    high = sum(lines[:, near] * weights[:, None, None] >> 16 for near, weights in rows)
    np.testing.assert_array_equal(resized, (high + 2) >> 2)


def neighbours(length, size):
    """Return two neighbours of each pixel of a resized side, with weights in 2048ths."""
    centers = np.float32((np.arange(size) + 0.5) * (length / size) - 0.5).clip(0, length - 1)
    near, share = centers.astype(int), centers % 1
    right = np.rint(share * 2048).astype(int)
    return (near, 2048 - right), (np.minimum(near + 1, length - 1), right)


def test_crops_of_mmaction2_lie_at_whole_steps_and_come_as_left_right_middle():
    rows, columns = np.indices((8, 15))
    frames = np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)[None]
    wide = three_crops(frames, crop_px=8, num_crops=3)
    assert [tuple(crop[0, 0, 0, :2]) for crop in wide] == [(0, 0), (0, 6), (0, 3)]
    tall = three_crops(frames.swapaxes(1, 2), crop_px=8, num_crops=3)
    assert [tuple(crop[0, 0, 0, :2]) for crop in tall] == [(0, 0), (0, 6), (0, 3)]
    assert three_crops(frames, crop_px=8, num_crops=1)[0, 0, 0, 0].tolist() == [0, 3, 0]
    with pytest.raises(UsageError, match="1 crop or 3, got 2"):
        three_crops(frames, crop_px=8, num_crops=2)


def test_mmaction2_rounds_the_long_side_where_the_others_cut_it_off():
    frames = np.random.default_rng(0).integers(0, 256, (1, 37, 60, 3), np.uint8)
    # 60 · 32 / 37 is 51.9.
    whole = resize_bilinear(frames, height_px=32, width_px=52)
    np.testing.assert_array_equal(three_crops(frames, crop_px=32, num_crops=3)[1], whole[:, :, 20:])


def test_squares_of_slowfast_are_cut_out_of_larger_frames_when_there_is_one() -> None:
    rows, columns = np.mgrid[:256, :341]
    frames = np.stack([rows % 256, columns % 256, columns // 256], axis=-1).astype(np.uint8)[None]
    (middle,) = slowfast_crops(frames, crop_px=224, num_crops=1)
    # 341 - 224 = 117 columns are left, of which 59 lie on the left; of 256 rows 16 lie above.
    np.testing.assert_array_equal(middle, frames[:, 16:240, 59:283])
    three = slowfast_crops(frames, crop_px=256, num_crops=3)
    np.testing.assert_array_equal(three[0], frames[:, :, :256])
    np.testing.assert_array_equal(three[1], frames[:, :, 43:299])
    np.testing.assert_array_equal(three[2], frames[:, :, 85:])
    tall = slowfast_crops(frames.swapaxes(1, 2), crop_px=256, num_crops=3)
    np.testing.assert_array_equal(tall, three.swapaxes(2, 3))
    with pytest.raises(UsageError, match="has 1 crop or 3, got 2"):
        slowfast_crops(frames, crop_px=224, num_crops=2)
