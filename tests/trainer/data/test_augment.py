"""Random crops and erased boxes: where they lie, how large they are, and what of the pixels is left."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from vfm.shards.pixels.resized_crop import ResizedCrop, draw_shape, middle
from vfm.trainer.data.augment import draw_clip, draw_crop, draw_erased, resized
from vfm.trainer.data.rand_augment import augmented, parse_policy
from vfm.trainer.recipes.classify import Augmentation

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)


def rngs(count):
    return map(np.random.default_rng, range(count))


def test_crops_have_the_published_areas_and_shapes():
    crops = [draw_crop(480, 640, areas=(0.08, 1.0), rng=rng) for rng in rngs(4000)]
    tops, lefts, heights, widths = np.array(crops).T
    areas, shapes = heights * widths / (480 * 640), widths / heights
    assert areas.min() < 0.09
    assert areas.max() > 0.9
    assert 0.749 < shapes.min() < 0.76
    assert 1.32 < shapes.max() < 1.34  # sides are whole pixels
    # Small crops always fit: of them the area is uniform, the shape symmetric in its logarithm.
    small = areas < 0.3
    assert areas[small].mean() == pytest.approx(0.19, abs=0.005)
    assert np.log(shapes[small]).mean() == pytest.approx(0, abs=0.01)
    assert ((tops >= 0) & (tops + heights <= 480)).all()
    assert ((lefts >= 0) & (lefts + widths <= 640)).all()
    places = (lefts / (640 - widths))[widths < 600]
    assert np.quantile(places, [0, 0.5, 1]) == pytest.approx([0, 0.5, 1], abs=0.03)


@pytest.mark.parametrize("size", [(48, 64), (36, 64), (64, 36), (50, 50)])
def test_crops_of_stored_views_have_the_sides_that_are_drawn_here(size):
    num_middles = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        draws = tuple(draw_shape(areas=(0.5, 1.0), rng=rng) for _ in range(10))
        stored = ResizedCrop(top=1.0, left=1.0, draws=draws).cut(*size)
        assert stored[2:] == draw_crop(*size, areas=(0.5, 1.0), rng=np.random.default_rng(seed))[2:]
        is_middle = stored == middle(*size)
        assert is_middle or stored[:2] == (size[0] - stored.height, size[1] - stored.width)
        num_middles += is_middle
    assert num_middles < 150


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 900), (0, 383, 100, 133)), ((900, 100), (383, 0, 133, 100))]
)
def test_where_nothing_fits_the_middle_is_taken(size, expected):
    assert draw_crop(*size, areas=(1.0, 1.0), rng=np.random.default_rng(0)) == expected


def test_a_clip_is_augmented_cropped_resized_and_mirrored():
    how = Augmentation(rand_augment="rand-m7-n4-mstd0.5-inc1", crop_area=0.08, flip=0.5)
    policy, mirrored = parse_policy(how.rand_augment), 0
    for seed in range(20):
        clip = draw_clip(FRAMES, how=how, size_px=32, rng=np.random.default_rng(seed))
        assert clip.shape == (3, 32, 32, 3)
        assert clip.flags.c_contiguous
        rng = np.random.default_rng(seed)
        frames = augmented(FRAMES, policy.draw(rng))
        top, left, height, width = draw_crop(48, 64, areas=(0.08, 1.0), rng=rng)
        cropped = frames[:, top : top + height, left : left + width]
        planes = torch.from_numpy(cropped.copy()).permute(0, 3, 1, 2).float()
        exact = functional.interpolate(planes, (32, 32), mode="bilinear", align_corners=False)
        expected = exact.permute(0, 2, 3, 1).numpy()
        if rng.random() < 0.5:
            expected, mirrored = expected[:, :, ::-1], mirrored + 1
        assert np.abs(clip - expected).max() <= 1.01  # 8 bits are rounded twice
        assert np.abs(clip - expected).mean() < 0.5
    assert 4 < mirrored < 16


def test_without_chance_a_clip_is_the_whole_frame():
    how = Augmentation(crop_area=1.0)
    square = FRAMES[:, :, :48]
    clip = draw_clip(square, how=how, size_px=48, rng=np.random.default_rng(0))
    assert clip.shape == square.shape


def test_erased_boxes_have_the_published_areas_and_shapes():
    boxes = np.array([draw_erased(224, probability=1.0, rng=rng) for rng in rngs(3000)])
    areas, shapes = boxes[:, 2] * boxes[:, 3] / 224**2, boxes[:, 2] / boxes[:, 3]
    assert areas.min() == pytest.approx(0.02, abs=0.003)
    assert areas.max() == pytest.approx(1 / 3, abs=0.02)
    assert shapes.min() == pytest.approx(0.3, abs=0.02)
    assert shapes.max() == pytest.approx(10 / 3, abs=0.2)
    assert (boxes[:, :2] + boxes[:, 2:] <= 224).all()
    share = np.mean([draw_erased(224, probability=0.25, rng=rng).any() for rng in rngs(3000)])
    assert share == pytest.approx(0.25, abs=0.03)
    assert not draw_erased(224, probability=0.0, rng=np.random.default_rng(0)).any()


def test_a_bicubic_resize_overshoots_and_is_kept_within_bytes():
    frames = np.zeros((1, 8, 8, 3), np.uint8)
    frames[:, :, 4:] = 255
    large = resized(frames, size_px=16, how="bicubic")
    expected = functional.interpolate(
        torch.from_numpy(frames).permute(0, 3, 1, 2).double(), (16, 16), mode="bicubic", align_corners=False
    )
    assert expected.min() < -5
    assert expected.max() > 260
    rounded = expected.round().clamp(0, 255).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(large, rounded.astype(np.uint8))
    mirrored = resized(frames, size_px=16, how="bicubic", is_mirrored=True)
    np.testing.assert_array_equal(mirrored, large[:, :, ::-1])
