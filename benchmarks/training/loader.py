"""Reads clips of frames from shards, against webdataset on the same tars and decord on the source videos.

    python benchmarks/training/loader.py VIDEOS [--frames 8] [--stored 20] [--samples 64] [--rounds 7]

VIDEOS is a folder or a list that `vfm extract` takes. A sample gives `--frames` frames out of at most
`--stored`, as uint8 RGB, on one core: no resizing, no batching, nothing but reading and decoding. Rounds take
turns.

webdataset   the stock pipeline over the same tars; its decoder opens the sample's mp4 with PyAV from memory,
             the way its users do, decodes up to the last wanted frame and converts the wanted ones only.
decord       a VideoReader on the source video at the stored size, one thread, get_batch of the frames at
             the same times: what the loader of VideoMAE does.
"""

import argparse
import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np

from vfm.shards.format.layout import PLAN_NAME
from vfm.shards.format.plan import read_plan
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.options import ExtractOptions

Reader = Callable[[], int]


def main() -> None:
    """Extract once, then let the readers take turns and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--stored", type=int, default=20)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--size", type=int, default=128)
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        make_data(args.videos, data, fps=args.fps, size_px=args.size)
        dataset = open_dataset(data)
        wanted = pick(dataset, num_frames=args.frames, num_stored=args.stored, num_samples=args.samples)
        readers: dict[str, Reader] = {
            "vfm": lambda: read_shards(dataset, wanted),
            "webdataset": lambda: read_webdataset(data, wanted),
            "decord": lambda: read_decord(data, dataset, wanted),
        }
        report(readers, num_samples=len(wanted), rounds=args.rounds)


def make_data(videos: Path, data: Path, *, fps: float, size_px: int) -> None:
    """Extract the videos into one set of shards."""
    options = ExtractOptions(fps=fps, size_px=size_px)
    extract([videos], data, options)


def pick(dataset: Dataset, *, num_frames: int, num_stored: int, num_samples: int) -> dict[str, list[int]]:
    """Return by key which frames to read: a random choice of each sample's first ``num_stored``."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(dataset))[:num_samples]
    wanted = {}
    for index in chosen.tolist():
        stored = min(num_stored, int(dataset.num_frames[index]))
        times = rng.choice(stored, size=min(num_frames, stored), replace=False)
        wanted[dataset.keys[index]] = sorted(times.tolist())
    return wanted


def read_shards(dataset: Dataset, wanted: dict[str, list[int]]) -> int:
    """Read by index: ours."""
    rows = {key: index for index, key in enumerate(dataset.keys)}
    return sum(len(dataset.frames(rows[key], times)) for key, times in wanted.items())


def read_webdataset(data: Path, wanted: dict[str, list[int]]) -> int:
    """Read the same tars with the stock pipeline; samples that are not wanted are skipped before decoding."""
    import webdataset as wds

    urls = sorted(str(path) for path in (data / "frames").glob("*.tar"))
    stock = wds.WebDataset(urls, shardshuffle=False, empty_check=False)
    stock = stock.select(lambda sample: sample["__key__"] in wanted).to_tuple("__key__", "mp4")
    return sum(len(list(decode_some(video, wanted[key]))) for key, video in stock)


def decode_some(video: bytes, times: list[int]) -> Iterator[np.ndarray]:
    """Decode a Motion JPEG in memory up to the last wanted frame."""
    with av.open(io.BytesIO(video), "r") as container:
        container.streams.video[0].thread_count = 1
        for time_index, frame in enumerate(container.decode(video=0)):
            if time_index in times:
                yield frame.to_ndarray(format="rgb24")
            if time_index == times[-1]:
                return


def read_decord(data: Path, dataset: Dataset, wanted: dict[str, list[int]]) -> int:
    """Read the frames shown at the same times from the source videos."""
    import decord

    rows = {key: index for index, key in enumerate(dataset.keys)}
    paths = {source.key: source.path for source in read_plan(data / PLAN_NAME).sources}
    count = 0
    for key, times in wanted.items():
        meta = dataset.meta(rows[key])
        reader = decord.VideoReader(paths[key], width=meta.width_px, height=meta.height_px, num_threads=1)
        rate = Fraction(reader.get_avg_fps()).limit_denominator(1001)
        first_s = meta.pts_s[0]
        indices = [min(int((meta.pts_s[i] - first_s) * rate), len(reader) - 1) for i in times]
        count += len(reader.get_batch(indices).asnumpy())
    return count


def report(readers: dict[str, Reader], *, num_samples: int, rounds: int) -> None:
    """Let the readers take turns and print medians and ratios."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    frames = {name: read() for name, read in readers.items()}  # also warms the page cache
    assert len(set(frames.values())) == 1, f"readers disagree: {frames}"
    for _ in range(rounds):
        for name, read in readers.items():
            start_s = time.perf_counter()
            read()
            seconds[name].append(time.perf_counter() - start_s)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{platform.processor() or platform.machine()}, one core, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("av", "simplejpeg", "webdataset", "decord")))
    print(f"{num_samples} samples, {frames['vfm']} frames, median of {rounds} rounds\n")
    print("| reader | samples/s | ms per sample | vfm is faster by |\n|---|---|---|---|")
    for name, median in medians.items():
        ratio = median / medians["vfm"]
        print(f"| {name} | {num_samples / median:.0f} | {median / num_samples * 1e3:.2f} | {ratio:.1f}× |")


if __name__ == "__main__":
    main()
