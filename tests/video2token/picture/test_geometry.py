import itertools
import struct
from fractions import Fraction

import numpy as np
import pytest

from vfm.video2token.picture.geometry import Orientation, orientation_of, stored_size

ONE = 1 << 16
IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("turned", "values"),
    [
        (IMAGE, (ONE, 0, 0, ONE)),
        (np.rot90(IMAGE, -1), (0, ONE, -ONE, 0)),  # a phone held upright: 90 degrees clockwise
        (np.rot90(IMAGE, 2), (-ONE, 0, 0, -ONE)),
        (np.rot90(IMAGE, 1), (0, -ONE, ONE, 0)),
        (IMAGE[:, ::-1], (-ONE, 0, 0, ONE)),  # a front camera
        (IMAGE[::-1], (ONE, 0, 0, -ONE)),
        (IMAGE, (0, 0, 0, 0)),
        (np.rot90(IMAGE, -1), (9000, 64000, -64000, 9000)),  # the nearest quarter turn
    ],
)
def test_display_matrix_is_followed(turned: np.ndarray, values: tuple[int, int, int, int]) -> None:
    upright = orientation_of(matrix(*values)).upright(IMAGE)
    np.testing.assert_array_equal(upright, turned)
    assert upright.flags.c_contiguous


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_recorded_rotation_says_what_was_done(flags: tuple[bool, bool, bool]) -> None:
    orientation = Orientation(transpose=flags[0], flip_x=flags[1], flip_y=flags[2])
    seen = IMAGE[:, ::-1] if orientation.mirrored else IMAGE
    np.testing.assert_array_equal(
        orientation.upright(IMAGE), np.rot90(seen, -(orientation.rotation_deg // 90))
    )


@pytest.mark.parametrize("data", [None, b"", b"short"])
def test_no_matrix_is_upright(data: bytes | None) -> None:
    assert orientation_of(data) == Orientation()


@pytest.mark.parametrize(
    ("width", "height", "aspect", "transpose", "stored"),
    [
        (1920, 1080, "1", False, (227, 128)),  # int(227.55…)
        (1080, 1920, "1", False, (128, 227)),
        (1920, 1080, "1", True, (128, 227)),
        (340, 256, "64/51", False, (213, 128)),  # 426.67 x 256: Kinetics as it is often stored
        (320, 240, "9/16", False, (128, 170)),  # 180 x 240
        (320, 240, "9/16", True, (170, 128)),
        (64, 48, "1", False, (170, 128)),  # enlarged
        (2, 2, "1", False, (128, 128)),
    ],
)
def test_stored_size(width: int, height: int, aspect: str, transpose: bool, stored: tuple[int, int]) -> None:
    assert stored == stored_size(width, height, aspect=Fraction(aspect), transpose=transpose, size_px=128)
