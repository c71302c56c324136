"""What people decode frames with: each takes a path, times and a size, and gives uint8 RGB frames.

All run on one core and decode with one thread. A peer whose library is not installed is told so by
``ImportError`` or ``FileNotFoundError`` when it is called.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

# As vfm scales, where a peer lets one choose: the same frames, and not a cheaper kind.
_SCALING = "bicubic+accurate_rnd+full_chroma_int"

Frames = Iterator[np.ndarray]
Peer = Callable[[Path, Sequence[float], tuple[int, int], float], Frames]


def ffmpeg_command(path: Path, times_s: Sequence[float], size: tuple[int, int], fps: float) -> Frames:
    """``-vf fps,scale`` to a pipe; rounding up gives the frame that is shown at each tick."""
    width, height = size
    chain = f"fps=fps={fps}:round=up,scale={width}:{height}:flags={_SCALING}"
    done = subprocess.run(
        [*_ffmpeg(), "-i", f"file:{path}", "-map", _map(path), "-vf", chain, "-fps_mode", "passthrough",
         "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    yield from np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)[: len(times_s)]


def temporary_files(path: Path, times_s: Sequence[float], size: tuple[int, int], fps: float) -> Frames:
    """A subprocess between temporary files, as in video2dataset's subsamplers: JPEGs written and read."""
    import simplejpeg  # type: ignore[import-untyped]  # it ships no types

    width, height = size
    chain = f"fps=fps={fps}:round=up,scale={width}:{height}:flags={_SCALING}"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "input.mp4"
        shutil.copyfile(path, copy)
        subprocess.run(
            [*_ffmpeg(), "-i", str(copy), "-map", _map(path), "-vf", chain, "-fps_mode", "passthrough",
             "-q:v", "2", f"{folder}/%05d.jpg"],
            check=True,
        )  # fmt: skip
        for file in sorted(Path(folder).glob("*.jpg"))[: len(times_s)]:
            yield simplejpeg.decode_jpeg(file.read_bytes())


def pyav_full(path: Path, times_s: Sequence[float], size: tuple[int, int], fps: float) -> Frames:
    """Decode every frame, convert the wanted ones."""
    scaler, left, before = VideoReformatter(), list(times_s), None
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, av.VideoStream)
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            while left and before is not None and frame.time is not None and frame.time > left[0] + 1e-6:
                yield _rgb(before, size, scaler=scaler)
                left.pop(0)
            before = frame
    for _ in left:
        if before is not None:
            yield _rgb(before, size, scaler=scaler)


def torchcodec_approximate(path: Path, times_s: Sequence[float], size: tuple[int, int], fps: float) -> Frames:
    """``get_frames_played_at`` without a scan of the file."""
    yield from _torchcodec(path, times_s, size, seek_mode="approximate")


def torchcodec_exact(path: Path, times_s: Sequence[float], size: tuple[int, int], fps: float) -> Frames:
    """``get_frames_played_at`` after a scan of the file."""
    yield from _torchcodec(path, times_s, size, seek_mode="exact")


def decord(path: Path, times_s: Sequence[float], size: tuple[int, int], fps: float) -> Frames:
    """``get_batch`` of the frames at these times, at the stored size."""
    import decord as library

    width, height = size
    reader = library.VideoReader(str(path), width=width, height=height, num_threads=1)
    begins_s = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0]
    indices = np.searchsorted(begins_s, np.array(times_s) + 1e-4, side="right") - 1
    yield from reader.get_batch(indices.clip(0).tolist()).asnumpy()


def opencv(path: Path, times_s: Sequence[float], size: tuple[int, int], fps: float) -> Frames:
    """``grab`` every frame, ``retrieve`` the wanted ones by their place at the average rate."""
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)) != _best(path)[1]:
        raise ValueError("it reads another of the file's streams")
    rate = capture.get(cv2.CAP_PROP_FPS)
    wanted, place = [int((time - times_s[0]) * rate + 1e-6) for time in times_s], 0
    while capture.grab():
        if place in wanted:
            picture = cv2.resize(capture.retrieve()[1], size, interpolation=cv2.INTER_CUBIC)
            for _ in range(wanted.count(place)):
                yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        place += 1


PEERS: dict[str, Peer] = {
    "ffmpeg command": ffmpeg_command,
    "temporary files": temporary_files,
    "PyAV, all": pyav_full,
    "torchcodec approx.": torchcodec_approximate,
    "torchcodec exact": torchcodec_exact,
    "decord": decord,
    "OpenCV": opencv,
}


def _torchcodec(path: Path, times_s: Sequence[float], size: tuple[int, int], *, seek_mode: str) -> Frames:
    from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined]  # it marks no exports
    from torchcodec.transforms import Resize  # type: ignore[attr-defined]  # it marks no exports

    width, height = size
    given: dict[str, Any] = {"dimension_order": "NHWC", "num_ffmpeg_threads": 1, "seek_mode": seek_mode}
    decoder = VideoDecoder(str(path), transforms=[Resize((height, width))], **given)
    end_s = decoder.metadata.end_stream_seconds
    if end_s is None:
        raise ValueError("it does not know where the video ends")
    yield from decoder.get_frames_played_at([min(time, end_s - 1e-4) for time in times_s]).data.numpy()


def _map(path: Path) -> str:
    return f"0:{_best(path)[0]}"


def _best(path: Path) -> tuple[int, int]:
    """Return index and width of the stream that FFmpeg ranks best, which is the one that vfm takes."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, av.VideoStream)
        return stream.index, stream.codec_context.width


def _ffmpeg() -> list[str]:
    """Return how the command is called: the system's, else the one of imageio-ffmpeg."""
    command = shutil.which("ffmpeg")
    if command is None:
        import imageio_ffmpeg

        command = imageio_ffmpeg.get_ffmpeg_exe()
    return [command, "-v", "error", "-nostdin", "-threads", "1", "-filter_threads", "1"]


def _rgb(frame: av.VideoFrame, size: tuple[int, int], *, scaler: VideoReformatter) -> np.ndarray:
    width, height = size
    kind = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    return scaler.reformat(frame, width, height, format="rgb24", interpolation=kind, threads=1).to_ndarray()
