"""What works on this machine: each decoder on clips that are made for it, versions, cores, memory, disk."""

import importlib
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, NamedTuple

from vfm.shards.errors import MachineError
from vfm.video2token.decoding import decoders

DEFAULT = "pyav"
NUM_FRAMES, FPS, SIDE_PX = 10, 10, 64
_TIMEOUT_S = 30.0
_MEMORY_BYTES = 4 << 30
_MINORS_AHEAD = 15  # torchvision 0.29 belongs to torch 2.14, and so on
_LIBRARIES = (
    "av", "ffmpeg-python", "imageio-ffmpeg", "torchcodec", "nvidia-dali-cuda120", "simplejpeg", "numpy",
    "pyarrow", "torch", "torchvision", "timm", "h5py", "webdataset",
)  # fmt: skip


class Clip(NamedTuple):
    """A codec in a container."""

    codec: str
    encoder: str
    options: tuple[tuple[str, str], ...]
    container: str

    @property
    def name(self) -> str:
        """File name of this clip."""
        return f"{self.codec.replace(' ', '-').lower()}.{self.container}"


def _clips(codec: str, encoder: str, containers: str, **options: str) -> list[Clip]:
    return [Clip(codec, encoder, tuple(options.items()), container) for container in containers.split()]


CLIPS = (
    *_clips("H.264", "libx264", "mp4 mov mkv avi ts", bf="0", g="5"),
    *_clips("H.264 B-frames", "libx264", "mp4 mov mkv ts", bf="2", g="5", b_strategy="0"),
    *_clips("HEVC", "libx265", "mp4 mkv ts", **{"x265-params": "log-level=none:pools=none:keyint=5"}),
    *_clips("VP9", "libvpx-vp9", "webm mkv mp4", g="5", deadline="realtime", **{"cpu-used": "8"}),
    *_clips("AV1", "libsvtav1", "mp4 webm mkv", preset="12"),
    *_clips("MPEG-4", "mpeg4", "mp4 avi mkv", g="5"),
    *_clips("MJPEG", "mjpeg", "avi mov mkv"),
)


def examine(*, quick: bool = False) -> dict[str, Any]:
    """Return all there is to tell, as JSON values; ``ok`` is whether ``problems`` is empty.

    Args:
        quick: leave out the clips.
    """
    states = [state_of(name) for name in decoders.names()]
    working = [state["name"] for state in states if state["works"]]
    codecs = [] if quick else try_clips(working)
    problems = (
        []
        if DEFAULT in working and all(row[DEFAULT] == "ok" for row in codecs if row["made"])
        else [f"The default decoder {DEFAULT} does not work here: run `pip install --force-reinstall av`."]
    )
    problems += torchvision_problems()
    return {
        "ok": not problems,
        "problems": problems,
        "decoders": states,
        "codecs": codecs,
        "machine": machine(),
        "disks": [disk(folder) for folder in (".", tempfile.gettempdir())],
        "versions": {"python": platform.python_version(), **_versions()},
    }


def state_of(name: str) -> dict[str, Any]:
    """Return whether a decoder can be used here: its versions, or the sentence that says what is missing."""
    try:
        versions = decoders.load(name).version()
    except MachineError as error:
        return {"name": name, "works": False, "versions": {}, "path": None, "problem": str(error)}
    path = None
    if name == "ffmpeg":
        from vfm.video2token.decoding.ffmpeg_command import find_ffmpeg

        path = find_ffmpeg().path
    return {"name": name, "works": True, "versions": versions, "path": path, "problem": None}


def torchvision_problems() -> list[str]:
    """Return what keeps torchvision, and with it timm's models, from being imported."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        # Built for another torch, it does not find itself: "operator torchvision::nms does not exist".
        torch_version = version_of("torch")
        major, minor = (int(part) for part in torch_version.split(".")[:2])
        fitting = f"torchvision==0.{minor + _MINORS_AHEAD}.*" if major == 2 else "torchvision"
        return [
            f"torchvision does not work with torch {torch_version} ({str(error).splitlines()[0]}): run "
            f"`pip install --force-reinstall --no-deps '{fitting}'`, from where torch was installed from."
        ]
    return []


def try_clips(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each clip what each decoder makes of it: ``ok`` or why not.

    Clips are made and tried in a process that may hang or crash, and whose output is discarded.
    """
    from vfm.video2token.execution.executors.processes import ProcessExecutor

    with (
        tempfile.TemporaryDirectory(prefix="vfm-doctor-") as folder,
        ProcessExecutor(
            "vfm.video2token.jobs.doctor:serve_one",
            num_workers=1,
            timeout_s=_TIMEOUT_S,
            memory_bytes=_MEMORY_BYTES,
        ) as pool,
    ):
        paths = [str(Path(folder) / clip.name) for clip in CLIPS]
        orders = [{"clip": [*clip], "folder": folder} for clip in CLIPS]
        made = [reply.head == "ok" for reply in pool.run(orders)]
        tasks = [
            {"decoder": name, "path": path}
            for name in names
            for path, is_made in zip(paths, made, strict=True)
            if is_made
        ]
        replies = [reply.head or f"crash: {reply.message}" for reply in pool.run(tasks)]
    told = {(task["decoder"], task["path"]): reply for task, reply in zip(tasks, replies, strict=True)}
    return [
        {
            "codec": clip.codec,
            "container": clip.container,
            "made": is_made,
            **{name: told.get((name, path), "not tried: PyAV cannot encode it here") for name in names},
        }
        for clip, path, is_made in zip(CLIPS, paths, made, strict=True)
    ]


def serve_one(task: dict[str, Any]) -> tuple[str, bytes]:
    """Make a clip or try one, in a process of the pool; return ``ok`` or why not."""
    if "clip" in task:
        return "ok" if write_clip(Path(task["folder"]), Clip(*task["clip"])) else "cannot be encoded", b""
    return _try(task["decoder"], task["path"]), b""


def _try(name: str, path: str) -> str:
    from vfm.video2token.options import ExtractOptions
    from vfm.video2token.rejection import VideoRejected

    decoder = decoders.load(name)
    try:
        video = decoder.decode(path, ExtractOptions(fps=float(FPS), size_px=16, decoder=name))
    except VideoRejected as rejected:
        return f"{rejected.reason}: {rejected.message}"
    if len(video.jpegs) != NUM_FRAMES or video.damage:
        return f"wrong: {len(video.jpegs)} of {NUM_FRAMES} frames. {' '.join(video.damage)}".strip()
    return "ok"


def write_clip(folder: Path, clip: Clip) -> bool:
    """Write a clip of ``NUM_FRAMES`` frames with a moving edge; return whether PyAV can encode it here."""
    import av
    import numpy as np

    path = folder / clip.name
    try:
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(clip.encoder, rate=FPS, options=dict(clip.options))
            stream.width = stream.height = SIDE_PX
            stream.pix_fmt = "yuvj420p" if clip.encoder == "mjpeg" else "yuv420p"
            stream.codec_context.time_base = Fraction(1, FPS)
            stream.codec_context.thread_count = 1
            for index in range(NUM_FRAMES):
                pixels = np.full((SIDE_PX, SIDE_PX, 3), 40, np.uint8)
                pixels[:, : 6 * index + 4] = (200, 120, 30)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError):
        return False
    return True


def machine() -> dict[str, Any]:
    """Return cores, memory and GPUs."""
    import torch

    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "memory_bytes": memory_bytes,
        "gpus": gpus,
    }


def disk(folder: str) -> dict[str, Any]:
    """Return how much room there is on the disk of a folder."""
    usage = shutil.disk_usage(folder)
    return {"path": str(Path(folder).absolute()), "free_bytes": usage.free, "total_bytes": usage.total}


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version_of(name)
        except PackageNotFoundError:
            found[name] = None
    return found
