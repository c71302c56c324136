"""Every decoder on every codec in every container: the same frames, and the same pixels or nearly so."""

import importlib.util
import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from support.media import HEIGHT, WIDTH, draw, number_in
from vfm.shards.format.plan import Source
from vfm.shards.pixels import jpeg
from vfm.video2token.execution.executors.processes import ProcessExecutor
from vfm.video2token.jobs.doctor import CLIPS, Clip
from vfm.video2token.jobs.extract.video_task import task_of
from vfm.video2token.options import ExtractOptions

NUM_FRAMES, FPS = 20, 25
OPTIONS: dict[str, Any] = {"fps": 10.0, "size_px": 48, "quality": 100}
EXPECTED = [0, 2, 5, 7, 10, 12, 15, 17]  # shown at 0, 100 ms, 200 ms ... of 40 ms each
NEEDS = {"pyav": "av", "ffmpeg": "imageio_ffmpeg", "torchcodec": "torchcodec", "dali": "nvidia.dali"}
DECODERS = [pytest.param(name, marks=pytest.mark.needs(need)) for name, need in NEEDS.items()]
CLIP_IDS = [clip.name for clip in CLIPS]

# Against the default decoder, as measured with torchcodec 0.13.0 over FFmpeg 8.1.2, and DALI 2.4.0. The clips
# are bars of black and white beside red and blue, at which two ways to reach RGB differ most.
LEAST_PSNR_DB, MOST_DIFFERENCE = 36.0, 42

# What a decoder does not take, and the reason that it must give.
UNTAKEN = {
    ("dali", r"h\.264.*|hevc.*|av1.*|mpeg-4.*"): {"unsupported"},
    ("torchcodec", r".*\.avi"): {"unsupported"},
    ("torchcodec", r"h\.264-b-frames\.ts|hevc\.ts"): {"unsupported", "decode_error"},
}


class Result(NamedTuple):
    """What a decoder made of a clip."""

    reason: str = ""
    message: str = ""
    pts_s: tuple[float, ...] = ()
    damage: tuple[str, ...] = ()
    jpegs: tuple[bytes, ...] = ()

    @property
    def pixels(self) -> np.ndarray:
        return np.stack([jpeg.decode(data) for data in self.jpegs]).astype(int)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {clip.name: write(folder / clip.name, clip) for clip in CLIPS}


def write(path: Path, clip: Clip) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(clip.encoder, rate=FPS, options=dict(clip.options))
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if clip.encoder == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        stream.codec_context.thread_count = 1
        for index in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def decoded(
    clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Result]:
    """Return what each decoder that is here makes of each clip, decoded as a job does it."""
    folder = tmp_path_factory.mktemp("libraries")
    pairs = [(name, clip) for name, need in NEEDS.items() if is_there(need) for clip in clips]
    tasks = [task(clips[clip], decoder=name) for name, clip in pairs]
    with pytest.MonkeyPatch.context() as patch:
        lend_ffmpeg(folder, patch)
        with ProcessExecutor(
            "vfm.video2token.jobs.extract.video_task:extract_one",
            num_workers=1,
            timeout_s=60,
            memory_bytes=4 << 30,
        ) as pool:
            replies = list(pool.run(tasks))
    assert [reply.message for reply in replies if reply.failure] == []
    return {pair: result(reply.head, reply.body) for pair, reply in zip(pairs, replies, strict=True)}


def is_there(need: str) -> bool:
    try:
        return importlib.util.find_spec(need) is not None
    except ModuleNotFoundError:
        return False


def lend_ffmpeg(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let torchcodec find FFmpeg's libraries in PyAV's wheel, where a machine may have no others."""
    for path in (Path(av.__file__).parents[1] / "av.libs").glob("lib*"):
        if match := re.fullmatch(r"(lib(?:av|sw)\w+)-[0-9a-f]+\.so\.(\d+)\..*", path.name):
            (folder / f"{match[1]}.so.{match[2]}").symlink_to(path)
    patch.setenv("LD_LIBRARY_PATH", str(folder), prepend=":")


def task(path: Path, *, decoder: str) -> dict[str, Any]:
    source = Source(key="k", identity="k", path=str(path), size_bytes=-1, mtime_ns=0)
    return task_of(source, ExtractOptions(**OPTIONS, decoder=decoder))


def result(head: dict[str, Any], body: bytes) -> Result:
    if "reason" in head:
        return Result(reason=head["reason"], message=head["message"])
    meta = json.loads(head["meta"])
    pieces = zip(head["offsets"], head["sizes"], strict=True)
    return Result(
        pts_s=tuple(meta["pts_s"]),
        damage=tuple(meta["damage"]),
        jpegs=tuple(body[offset : offset + size] for offset, size in pieces),
    )


@pytest.mark.parametrize("clip", CLIP_IDS)
@pytest.mark.parametrize("name", DECODERS)
def test_each_decoder_takes_the_same_frames_or_says_why_not(
    decoded: dict[tuple[str, str], Result], name: str, clip: str
) -> None:
    video, default = decoded[name, clip], decoded["pyav", clip]
    if reasons := untaken(name, clip):
        assert video.reason in reasons
        assert "pyav" in video.message or video.reason == "decode_error"
        return
    assert video.reason == "", video.message
    assert video.damage == ()
    assert video.pts_s == default.pts_s
    assert [number_in(frame) for frame in video.pixels] == EXPECTED


def untaken(name: str, clip: str) -> set[str]:
    """Return the reasons that a decoder may reject a clip with; none where it must take it."""
    for (decoder, pattern), reasons in UNTAKEN.items():
        if decoder == name and re.fullmatch(pattern, clip):
            return reasons
    return set()


@pytest.mark.needs("imageio_ffmpeg")
@pytest.mark.parametrize("clip", CLIP_IDS)
def test_ffmpeg_gives_the_bytes_that_pyav_gives(decoded: dict[tuple[str, str], Result], clip: str) -> None:
    assert decoded["ffmpeg", clip].jpegs == decoded["pyav", clip].jpegs


@pytest.mark.parametrize("clip", CLIP_IDS)
@pytest.mark.parametrize("name", DECODERS[2:])
def test_the_others_stay_within_the_stated_difference(
    decoded: dict[tuple[str, str], Result], name: str, clip: str
) -> None:
    if untaken(name, clip):
        assert decoded[name, clip].jpegs == ()
        return
    difference = decoded[name, clip].pixels - decoded["pyav", clip].pixels
    assert np.abs(difference).max() <= MOST_DIFFERENCE
    assert 10 * np.log10(255**2 / (difference**2).mean()) >= LEAST_PSNR_DB


@pytest.mark.needs("imageio_ffmpeg")
@pytest.mark.parametrize(
    "made",
    [
        {"name": "vfr.mkv", "num_frames": 8, "pts": [0, 40, 80, 480, 1020, 1060, 1100, 1900]},
        {"name": "late.mkv", "num_frames": 25, "pts": [175_000 + 40 * index for index in range(25)]},
        {"name": "raw.h264"},
        {"name": "one.mp4", "num_frames": 1},
        {"name": "turned.mp4", "matrix": (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)},
        {"name": "mirrored.mp4", "matrix": (-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)},
        {"name": "wide.mp4", "aspect": Fraction(2, 1)},
        {"name": "odd.mkv", "size": (66, 50)},
    ],
    ids=lambda made: str(made["name"]),
)
def test_ffmpeg_agrees_where_times_and_shapes_are_unusual(
    film: Callable[..., Path], made: dict[str, Any]
) -> None:
    from vfm.video2token.decoding.decoders import ffmpeg, pyav

    unit = {"time_base": Fraction(1, 1000)} if "pts" in made else {}
    path, options = str(film(**made, **unit)), ExtractOptions(**OPTIONS)
    ours, default = ffmpeg.decode(path, options), pyav.decode(path, options)
    assert ours.pts_s == default.pts_s
    assert ours.jpegs == default.jpegs
    assert (ours.rotation_deg, ours.sample_aspect_ratio) == (
        default.rotation_deg,
        default.sample_aspect_ratio,
    )
    assert (ours.source_duration_s, ours.source_fps) == (default.source_duration_s, default.source_fps)


@pytest.mark.needs("shared")
@pytest.mark.needs("imageio_ffmpeg")
@pytest.mark.parametrize("name", ["nasa", "car", "arm"])
def test_ffmpeg_agrees_on_real_clips(shared: Path, name: str) -> None:
    from vfm.video2token.decoding.decoders import ffmpeg, pyav

    path, options = str(shared / "videos" / "clips" / f"{name}.mp4"), ExtractOptions(fps=2.0, size_px=128)
    ours, default = ffmpeg.decode(path, options), pyav.decode(path, options)
    assert (ours.pts_s, ours.jpegs) == (default.pts_s, default.jpegs)


@pytest.mark.slow
@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", DECODERS[1:])
def test_bad_videos_end_as_with_pyav_or_are_rejected_with_a_reason(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    paths = sorted((shared / "badvideos" / "files").iterdir())
    lend_ffmpeg(tmp_path, monkeypatch)
    with ProcessExecutor(
        "vfm.video2token.jobs.extract.video_task:extract_one",
        num_workers=1,
        timeout_s=60,
        memory_bytes=4 << 30,
    ) as pool:
        replies = list(pool.run(task(path, decoder=which) for path in paths for which in ("pyav", name)))
    assert [reply.message for reply in replies if reply.failure] == []
    ends = [reply.head.get("reason") or len(reply.head["sizes"]) for reply in replies]
    others = {
        path.name: ours
        for path, default, ours in zip(paths, ends[::2], ends[1::2], strict=True)
        if ours != default
    }
    assert set(others.values()) <= {"unsupported", "decode_error"}
    if name == "ffmpeg":
        assert others == {"b19_resolution_change.ts": "unsupported"}  # its timestamps restart
