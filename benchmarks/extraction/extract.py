"""Turns videos into JPEGs at regular ticks, against what people decode frames with.

    python benchmarks/extraction/extract.py VIDEOS [--fps 2] [--size 128] [--rounds 5] [--seconds 20]

VIDEOS are files or folders. Everybody gives JPEGs of one size at the same ticks, made by the same encoder
with the same quality, on one core with one thread; rounds take turns, the median counts. ``ratio`` is the
time of the fastest peer over ours. ``--made`` names a video whose first ``--seconds`` are encoded again by
x264 (medium and veryfast, keyframes every 2 and 5 s), x265 and VP9, to be measured too.

The second table takes the whole job apart: decoding alone, with scaling and JPEG, and the job with its tars.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from unittest import mock

import av
import numpy as np
from peers import PEERS, Frames, Peer

from vfm.shards.pixels import jpeg
from vfm.video2token.decoding import recorder
from vfm.video2token.decoding.decoder import DecodedVideo
from vfm.video2token.decoding.decoders import pyav
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sampling.sampler import TickFrame

_MADE = {
    "x264-medium-2s": ("libx264", {"preset": "medium"}, 2),
    "x264-medium-5s": ("libx264", {"preset": "medium"}, 5),
    "x264-veryfast-2s": ("libx264", {"preset": "veryfast"}, 2),
    "x264-veryfast-5s": ("libx264", {"preset": "veryfast"}, 5),
    "x265-5s": ("libx265", {"preset": "fast", "x265-params": "log-level=none"}, 5),
    "vp9-5s": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "5"}, 5),
}
_MISSING = (ImportError, FileNotFoundError)


def main() -> None:
    """Let everybody take turns over all videos and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--made", type=Path)
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    options = ExtractOptions(fps=args.fps, size_px=args.size)
    with tempfile.TemporaryDirectory() as folder:
        made = make(args.made, Path(folder), seconds=args.seconds) if args.made else []
        paths = [*sorted(files_of(args.videos)), *made]
        tell_versions()
        against_peers(paths, options=options, rounds=args.rounds)
        apart(paths, options=options, rounds=args.rounds, folder=Path(folder))


def files_of(videos: list[Path]) -> Iterator[Path]:
    """Yield the files behind the arguments, searched one level deep."""
    for path in videos:
        yield from (file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def make(source: Path, folder: Path, *, seconds: float) -> list[Path]:
    """Encode the begin of a video in several ways."""
    made = []
    for name, (codec, options, gop_s) in _MADE.items():
        path = folder / f"{name}.mp4"
        with av.open(str(source)) as given, av.open(str(path), "w") as out:
            rate = given.streams.video[0].average_rate or Fraction(25)
            stream = out.add_stream(codec, rate=rate, options={"g": str(round(gop_s * rate)), **options})
            assert isinstance(stream, av.VideoStream)
            for index, frame in enumerate(given.decode(video=0)):
                if frame.time is not None and frame.time > seconds:
                    break
                if index == 0:
                    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                frame.pts, frame.time_base = index, 1 / rate
                frame.pict_type = 0
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        made.append(path)
    return made


def tell_versions() -> None:
    """Print what is compared, and where."""
    told = []
    for name in ("av", "simplejpeg", "torchcodec", "decord", "opencv-python-headless"):
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            told.append(f"{name} not installed")
    print(f"{platform.processor() or platform.machine()}, one core, Python {platform.python_version()}")
    print(", ".join(told) + "\n")


def against_peers(paths: list[Path], *, options: ExtractOptions, rounds: int) -> None:
    """Print a line for each video: milliseconds of everybody, and the fastest peer's over ours."""
    print("| video | frames | vfm ms | decoding |" + "".join(f" {name} |" for name in PEERS) + " ratio |")
    print("|---" * (len(PEERS) + 5) + "|")
    ratios = []
    for path in paths:
        video = pyav.decode(str(path.resolve()), options)
        runs: dict[str, Callable[[], int]] = {"vfm": partial(jpegs_of_vfm, path, options=options)}
        cells = {}
        for name, peer in PEERS.items():
            told = refusal(peer, path, video=video, options=options)
            cells[name] = told
            if not told:
                runs[name] = partial(jpegs_of, peer, path, video=video, options=options)
        medians = take_turns(runs, rounds=rounds)
        cells |= {name: f"{1000 * value:.0f}" for name, value in medians.items()}
        fastest = min(value for name, value in medians.items() if name != "vfm")
        ratios.append(fastest / medians["vfm"])
        line = f"| {path.name} | {len(video.jpegs)} | {cells['vfm']} | {video.decoding} |"
        print(line + "".join(f" {cells[name]} |" for name in PEERS) + f" {ratios[-1]:.2f} |", flush=True)
    print(
        f"\nGeometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}, least {min(ratios):.2f}\n"
    )


def jpegs_of_vfm(path: Path, *, options: ExtractOptions) -> int:
    """Make the JPEGs with vfm and return how many."""
    return len(pyav.decode(str(path.resolve()), options).jpegs)


def frames_of(peer: Peer, path: Path, *, video: DecodedVideo, options: ExtractOptions) -> Frames:
    """Return a peer's frames at vfm's ticks and of their size."""
    assert options.fps is not None, "peers are compared at a rate"
    ticks_s = [video.pts_s[0] + index / options.fps for index in range(len(video.pts_s))]
    return peer(path, ticks_s, (video.width_px, video.height_px), options.fps)


def jpegs_of(peer: Peer, path: Path, *, video: DecodedVideo, options: ExtractOptions) -> int:
    """Make the JPEGs with a peer and return how many."""
    frames = frames_of(peer, path, video=video, options=options)
    return sum(len(jpeg.encode(frame, quality=options.quality)) > 0 for frame in frames)


def refusal(peer: Peer, path: Path, *, video: DecodedVideo, options: ExtractOptions) -> str:
    """Return why a peer is not measured, empty when its frames are those of vfm."""
    try:
        given = list(frames_of(peer, path, video=video, options=options))
    except _MISSING:
        return "not installed"
    except Exception as error:  # noqa: BLE001 (whatever a library raises is its answer)
        return type(error).__name__
    if abs(len(given) - len(video.jpegs)) > 1:
        return f"{len(given)} frames"
    differing = [
        np.abs(frame.astype(int) - jpeg.decode(ours)).mean() > 25
        for frame, ours in zip(given, video.jpegs, strict=False)
    ]
    return "other frames" if np.mean(differing) > 0.1 else ""


def take_turns(runs: dict[str, Callable[[], int]], *, rounds: int) -> dict[str, float]:
    """Return the median of each, seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start_s = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start_s)
    return {name: statistics.median(values) for name, values in seconds.items()}


class _Nothing(recorder.FrameRecorder):
    """Takes frames and does nothing with them."""

    def store(self, ticks: list[TickFrame[av.VideoFrame]]) -> None:
        """Keep the first frame only."""
        if self._converter is None:
            super().store(ticks)


def apart(paths: list[Path], *, options: ExtractOptions, rounds: int, folder: Path) -> None:
    """Print what each part of the job takes over all videos."""
    counter = iter(range(10**6))

    def bare() -> int:
        with mock.patch.object(pyav, "FrameRecorder", _Nothing):
            return sum(jpegs_of_vfm(path, options=options) for path in paths)

    runs = {
        "decoding alone": bare,
        "with scaling and JPEG": lambda: sum(jpegs_of_vfm(path, options=options) for path in paths),
        "the job": lambda: extract(paths, folder / f"data{next(counter)}", options).num_frames,
    }
    medians = take_turns(runs, rounds=rounds)
    print("| part | s | of decoding |\n|---|---|---|")
    for name, value in medians.items():
        print(f"| {name} | {value:.2f} | {value / medians['decoding alone']:.2f} |")


if __name__ == "__main__":
    main()
