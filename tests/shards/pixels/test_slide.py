"""Sliding rows and columns: against Pillow's affine transform, bit for bit."""

import numpy as np
import pytest
from PIL import Image

from vfm.shards.pixels.slide import slide

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 37, 61, 3), np.uint8)
FRAMES[1] = np.where(FRAMES[1] > 127, 255, 0)  # overshoots at every edge
SLIDES = [(0.0, 0.0), (0.21, 0.0), (-0.3, 0.0), (0.0, 12.3456), (0.0, -17.75), (0.0, 5.0), (0.0, 500.0)]


@pytest.mark.parametrize("is_across", [True, False])
@pytest.mark.parametrize(("slope", "shift_px"), SLIDES)
@pytest.mark.parametrize("shape", [(37, 61), (1, 1), (2, 3), (3, 1)])
def test_pixels_are_those_of_pillow(shape, slope, shift_px, is_across):
    matrix = (1, slope, shift_px, 0, 1, 0) if is_across else (1, 0, 0, slope, 1, shift_px)
    for frame in FRAMES[:, : shape[0], : shape[1]]:
        image = Image.fromarray(np.ascontiguousarray(frame))
        expected = image.transform(
            image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)
        )
        slid = slide(frame, slope=slope, shift_px=shift_px, is_across=is_across, fill=128)
        np.testing.assert_array_equal(slid, np.asarray(expected))


def test_a_whole_shift_moves_pixels():
    slid = slide(FRAMES[0], slope=0.0, shift_px=5.0, is_across=True, fill=7)
    np.testing.assert_array_equal(slid[:, :-5], FRAMES[0, :, 5:])
    assert (slid[:, -5:] == 7).all()
