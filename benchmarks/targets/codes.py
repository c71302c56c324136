"""Compares `vfm tokenize` with its bare network, and processes with threads.

    python benchmarks/targets/codes.py DATA CODEBOOK [--rounds 5]

DATA is a dataset with frames, CODEBOOK one that `vfm fit-codebook` made. Rounds take turns, medians count.
Frames per second of wall time; beside it per second of processor time, which other jobs on the machine
disturb less.

bare         the codebook's `encode` over frames that lie in memory, ready cut, in batches of 64; one thread.
column       a whole run on one core: shards to JPEGs to frames to codes to shards, hashed and committed.
threads      the bare network on two threads.
processes    the bare network in two processes, started before, of one thread each.
"""

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from vfm.shards.pixels.views import apply_view
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions
from vfm.video2token.targets.vq import Options, VqTarget, build
from vfm.video2token.tokenizers.codebook.codebook import load_codebook

_BATCH = 64
Way = Callable[[], float]


def main() -> None:
    """Let the ways take turns and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("codebook", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2, mp_context=context) as pool:
        data = copy_frames(args.data, Path(folder) / "data")
        frames = read_frames(data, build(str(args.codebook), Options(), TargetOptions()))
        halves = [frames[half::2].copy() for half in range(2)]
        ways: dict[str, Way] = {
            "bare": lambda: encode(args.codebook, frames, 1),
            "column": lambda: make_column(data, args.codebook),
            "threads": lambda: encode(args.codebook, frames, 2),
            "processes": lambda: sum(pool.map(encode, [args.codebook] * 2, halves, [1, 1])),
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(args.rounds + 1):
            for name, way in ways.items():
                begun_s = time.perf_counter()
                processor_s = way()
                if turn:  # the first warms up
                    seconds[name].append((time.perf_counter() - begun_s, processor_s))
    print("             frames/s   per processor second")
    for name, times in seconds.items():
        rates = [len(frames) / statistics.median(column) for column in zip(*times, strict=True)]
        print(f"{name:11}{rates[0]:10.0f}{rates[1]:23.0f}")


def copy_frames(data: Path, to: Path) -> Path:
    """Return a copy of a dataset that has its frames alone."""
    return Path(shutil.copytree(data, to, ignore=shutil.ignore_patterns("vq.*", ".*")))


def read_frames(data: Path, target: VqTarget) -> np.ndarray:
    """Return all frames of a dataset as the target sees them."""
    dataset = open_dataset(data)
    samples = (dataset.frames(index, range(int(dataset.num_frames[index]))) for index in range(len(dataset)))
    return np.concatenate([apply_view(np.stack(frames), target.views[0]) for frames in samples])


def encode(folder: Path, frames: np.ndarray, num_threads: int) -> float:
    """Encode frames in batches and return the processor seconds it takes."""
    begun_s = time.process_time()
    torch.set_num_threads(num_threads)
    codebook = load_codebook(folder)
    for batch in torch.split(torch.from_numpy(frames), _BATCH):
        codebook.encode(batch)
    return time.process_time() - begun_s


def make_column(data: Path, codebook: Path) -> float:
    """Make the column from nothing and return the processor seconds it takes."""
    shutil.rmtree(data / "vq.bench", ignore_errors=True)
    begun_s = time.process_time()
    tokenize(data, [f"vq:{codebook}"], TargetOptions(name="bench"))
    return time.process_time() - begun_s


if __name__ == "__main__":
    main()
