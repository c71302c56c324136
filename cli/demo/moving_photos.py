"""Makes a small labelled video set: photographs that ship inside scikit-image, moved by a camera.

The label is the camera's motion and nothing else. Place, angle and zoom are drawn so that a frame taken at a
random time looks the same in all classes: only the order of frames tells the class.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import av
import numpy as np
from PIL import Image

from vfm.cli.demo.camera import (
    LOG_ZOOM_PER_S,
    LOG_ZOOM_SPREAD,
    SPEED_JITTER,
    CameraMove,
    MovingPhotosOptions,
    camera_at,
    list_shots,
)
from vfm.shards.errors import MachineError
from vfm.shards.io.atomic import clean_stale, write_bytes
from vfm.shards.progress import NoProgress, Progress

FRAMES_PER_PHOTO = 2.5  # width of the photograph at zoom 1, in frames


def draw(shot: CameraMove, canvas: Image.Image, options: MovingPhotosOptions) -> Iterator[np.ndarray]:
    """Yield the frames of a shot.

    Args:
        shot: what to draw.
        canvas: its photograph, from ``load_canvas``.
        options: size, rate and length.

    Yields:
        uint8 [size_px, size_px, 3], RGB.
    """
    half_px = options.size_px / 2
    period_px, margin_px = _period_px(options), _margin_px(options)
    for tick in range(options.num_frames):
        since_middle_s = (tick - (options.num_frames - 1) / 2) / options.fps
        x, y, angle, step = camera_at(shot, since_middle_s, options.size_px / period_px)
        cos, sin = math.cos(angle) * step, math.sin(angle) * step
        left = (x % 1) * period_px + margin_px - half_px * cos + half_px * sin
        top = (y % 1) * period_px + margin_px - half_px * sin - half_px * cos
        frame = canvas.transform(
            (options.size_px, options.size_px),
            Image.Transform.AFFINE,
            (cos, -sin, left, sin, cos, top),
            resample=Image.Resampling.BILINEAR,
        )
        yield np.clip(np.asarray(frame) * shot.brightness, 0, 255).astype(np.uint8)


def load_canvas(name: str, options: MovingPhotosOptions) -> Image.Image:
    """Return what the camera moves over: the middle square of a photograph beside its mirror images.

    One period is two photographs wide and high; the margin around it is what a camera at its border sees.

    Raises:
        MachineError: the installed scikit-image does not hold the photograph.
    """
    path = resources.files("skimage") / "data" / name
    try:
        image = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    except FileNotFoundError as error:
        raise MachineError(
            f"The photograph {name} is not in the installed scikit-image: `pip install scikit-image` again."
        ) from error
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    photo_px, margin_px = _period_px(options) // 2, _margin_px(options)
    box = (left, top, left + side, top + side)
    photo = np.asarray(image.resize((photo_px, photo_px), Image.Resampling.LANCZOS, box=box))
    sides = (margin_px, photo_px + margin_px)
    return Image.fromarray(np.pad(photo, (sides, sides, (0, 0)), mode="symmetric"))


def _period_px(options: MovingPhotosOptions) -> int:
    return 2 * round(options.size_px * FRAMES_PER_PHOTO)


def _margin_px(options: MovingPhotosOptions) -> int:
    """Return half the diagonal of a frame at the smallest magnification there is."""
    smallest = LOG_ZOOM_SPREAD + options.duration_s / 2 * LOG_ZOOM_PER_S * (1 + SPEED_JITTER)
    return math.ceil(options.size_px / math.sqrt(2) * math.exp(smallest)) + 2


def encode_h264(frames: Iterable[np.ndarray], *, fps: int) -> bytes:
    """Return an mp4 of uint8 frames [H, W, 3] RGB, H.264 with B-frames, the same bytes every time."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: av.VideoStream | None = None
        for frame in frames:
            if stream is None:
                stream = _add_h264(container, frame.shape, fps=fps)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        assert stream is not None, "a video has frames"
        container.mux(stream.encode(None))
    return file.getvalue()


def _add_h264(container: av.container.OutputContainer, shape: Sequence[int], *, fps: int) -> av.VideoStream:
    # x264's macroblock tree is not the same from run to run with the SIMD code of some CPUs: tried.
    same_bytes = {"x264-params": "mbtree=0:cpu-independent=1"}
    stream = container.add_stream(
        "libx264", rate=fps, options={"preset": "veryfast", "crf": "18", **same_bytes}
    )
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1  # how x264 shares out a frame changes its bytes
    return stream


def make_moving_photos(
    out: Path, options: MovingPhotosOptions, *, num_workers: int = 1, progress: Progress | None = None
) -> Path:
    """Write ``videos/MOTION/NAME.mp4`` and then ``labels.csv`` (path, label, split) into the folder ``out``.

    The videos to pretrain on lie in ``videos/unlabelled``, belong to split train and have no label. What a
    run that was stopped has made is kept, but for what is half-written: one process at a time may write to
    ``out``.

    Args:
        out: made when it does not exist.
        options: what to make.
        num_workers: threads; drawing and encoding leave Python alone most of the time.
        progress: receives progress updates.

    Returns:
        The list, to be given to ``vfm extract``.

    Raises:
        MachineError: scikit-image lacks a photograph.
    """
    told = progress or NoProgress()
    shots = list_shots(options)
    canvases = {photo: load_canvas(photo, options) for photo in {shot.photo for shot in shots}}
    paths = [_path_of(shot, number) for number, shot in enumerate(shots)]
    for folder in {path.parent for path in paths}:
        (out / folder).mkdir(parents=True, exist_ok=True)
        clean_stale(out / folder)

    def make(shot: CameraMove, path: Path) -> None:
        if not (out / path).exists():
            frames = draw(shot, canvases[shot.photo], options)
            write_bytes(out / path, encode_h264(frames, fps=options.fps))

    told.start(len(shots), "videos")
    try:
        with ThreadPoolExecutor(num_workers) as pool:
            for _ in pool.map(make, shots, paths):
                told.advance(ok=1, num_frames=options.num_frames)
    finally:
        told.finish()
    labels = out / "labels.csv"
    write_bytes(labels, _list_of(shots, paths))
    return labels


def _path_of(shot: CameraMove, number: int) -> Path:
    folder = "unlabelled" if shot.split == "pretrain" else shot.motion
    return Path("videos", folder, f"{number:05d}-{Path(shot.photo).stem}.mp4")


def _list_of(shots: Sequence[CameraMove], paths: Sequence[Path]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "label", "split"))
    for shot, path in zip(shots, paths, strict=True):
        has_label = shot.split != "pretrain"
        label, split = (shot.motion, shot.split) if has_label else ("", "train")
        rows.writerow((path.as_posix(), label, split))
    return text.getvalue().encode()
