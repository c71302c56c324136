"""Frames survive JPEG nearly, and the same frame gives the same bytes."""

from collections.abc import Callable

import numpy as np
import pytest

from vfm.shards.errors import DamageError
from vfm.shards.pixels.jpeg import decode, encode


@pytest.fixture
def frame(frames_of: Callable[..., np.ndarray]) -> np.ndarray:
    return frames_of("v1", num_frames=1)[0]


def test_round_trip_is_close_and_in_rgb_order() -> None:
    red = np.zeros((24, 33, 3), np.uint8)
    red[..., 0] = 200
    back = decode(encode(red, quality=95))
    assert (back.shape, back.dtype) == ((24, 33, 3), np.uint8)
    assert back.flags.c_contiguous
    assert np.abs(back.astype(int) - red).max() <= 2


def test_same_frame_same_bytes(frame: np.ndarray) -> None:
    assert encode(frame, quality=90) == encode(frame.copy(), quality=90)
    assert encode(frame[::-1], quality=90) == encode(np.ascontiguousarray(frame[::-1]), quality=90)


def test_quality_costs_bytes(frame: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 256, frame.shape, dtype=np.uint8)
    assert len(encode(noise, quality=50)) < len(encode(noise, quality=95))


def test_chroma_is_halved_both_ways(frame: np.ndarray) -> None:
    data = encode(frame, quality=90)
    start = data.index(b"\xff\xc0")
    # SOF0: length 2, precision 1, height 2, width 2, components 1, then (id, sampling, table) each
    assert [data[start + 11 + 3 * i] for i in range(3)] == [0x22, 0x11, 0x11]


def test_a_memoryview_is_enough(frame: np.ndarray) -> None:
    data = encode(frame, quality=90)
    np.testing.assert_array_equal(decode(memoryview(data)), decode(data))


@pytest.mark.parametrize(
    "change", [lambda d: b"", lambda d: d[:20], lambda d: d[: len(d) // 2], lambda d: b"no jpeg"]
)
def test_broken_jpegs_are_refused(frame: np.ndarray, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DamageError, match="A stored JPEG is damaged"):
        decode(change(encode(frame, quality=90)))
