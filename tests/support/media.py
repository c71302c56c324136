"""Videos made in a moment whose frames carry their own number, for tests that decode: fixture ``film``."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

WIDTH, HEIGHT, NUM_BITS = 64, 48, 8
RED, BLUE = (200, 30, 40), (20, 40, 190)


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """Return `write_film` into a folder of this test."""

    def write(name: str = "film.mp4", **options: Any) -> Path:
        return write_film(tmp_path / name, **options)

    return write


@pytest.fixture
def films(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a folder of short films in two sub-folders."""

    def write(num_films: int, name: str = "films", **options: Any) -> Path:
        for index in range(num_films):
            write_film(
                tmp_path / name / "ab"[index % 2] / f"{index:03d}.mp4",
                first=5 * index,
                **{"num_frames": 20 + index % 5, **options},
            )
        return tmp_path / name

    return write


def write_film(
    path: Path,
    *,
    num_frames: int = 50,
    fps: int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    first: int = 0,
    aspect: Fraction | None = None,
    matrix: Sequence[int] | None = None,
) -> Path:
    """Write a video; frame i shows the number ``first + i``, and is shown at ``pts[i]`` or at ``i / fps``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {"bf": "2", "g": "12"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = time_base or Fraction(1, fps)
        stream.codec_context.thread_count = 1
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix:
            stream.set_display_matrix(matrix)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(draw(first + index, size=size), format="rgb24")
            frame.time_base = time_base or Fraction(1, fps)
            frame.pts = pts[index] if pts else index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def draw(number: int, *, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """Return uint8 [H,W,3]: above, the number in bits, white is 1; below, red left and blue right."""
    width, height = size
    frame = np.empty((height, width, 3), np.uint8)
    for bit in range(NUM_BITS):
        bar = slice(bit * width // NUM_BITS, (bit + 1) * width // NUM_BITS)
        frame[: height // 2, bar] = 235 if number >> bit & 1 else 20
    frame[height // 2 :, : width // 2] = RED
    frame[height // 2 :, width // 2 :] = BLUE
    return frame


def number_in(frame: np.ndarray) -> int:
    """Return the number that a frame shows."""
    height, width = frame.shape[:2]
    row = frame[height // 4].mean(axis=1)
    bits = [row[int((bit + 0.5) * width / NUM_BITS)] > 128 for bit in range(NUM_BITS)]
    return sum(1 << bit for bit, is_set in enumerate(bits) if is_set)
