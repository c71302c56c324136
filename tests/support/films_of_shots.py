"""Films cut together from moving photographs: their cuts and their motion are known."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from vfm.cli.demo.camera import CameraMove, MovingPhotosOptions, list_shots
from vfm.cli.demo.moving_photos import draw, encode_h264, load_canvas

FPS = 24
OPTIONS = MovingPhotosOptions(
    num_pretrain=72, num_train=0, num_val=0, seed=3, size_px=96, fps=FPS, duration_s=1.5
)


def shots(numbers: Sequence[int], *, faster: float = 1.0) -> list[CameraMove]:
    """Return shots by number; eight in a row show one photograph in eight motions."""
    listed = list_shots(OPTIONS)
    return [replace(listed[number], speed=faster * listed[number].speed) for number in numbers]


def write_shots(path: Path, planned: Sequence[CameraMove], *, flashes: Sequence[int] = ()) -> list[float]:
    """Write the shots one after the other and return the times of the cuts between them, seconds.

    Args:
        path: the film.
        planned: the shots.
        flashes: frames of the film at which three frames are white.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = list(_frames(planned))
    for first in flashes:
        frames[first : first + 3] = [np.full_like(frames[0], 250)] * 3
    path.write_bytes(encode_h264(frames, fps=FPS))
    return [round(number * OPTIONS.num_frames / FPS, 6) for number in range(1, len(planned))]


def write_again(
    film: Path, path: Path, *, codec: str = "libx264", size_px: int = 96, every: int = 1, **options: str
) -> Path:
    """Decode a film and encode every Nth of its frames again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(film)) as source, av.open(str(path), "w") as target:
        stream: Any = target.add_stream(codec, rate=FPS // every, options=options)
        stream.width = stream.height = size_px
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(list(source.decode(video=0))[::every]):
            again = frame.reformat(size_px, size_px, stream.pix_fmt)
            again.pts, again.time_base, again.pict_type = number, Fraction(every, FPS), 0  # type: ignore[assignment]
            target.mux(stream.encode(again))
        target.mux(stream.encode(None))
    return path


def _frames(planned: Sequence[CameraMove]) -> Iterator[np.ndarray]:
    for shot in planned:
        yield from draw(shot, _canvas(shot.photo), OPTIONS)


@cache
def _canvas(photo: str) -> Image.Image:
    return load_canvas(photo, OPTIONS)
