"""Reads clips as finetuning wants them, 8 frames of 224 px cropped and mirrored at random, against decord.

    python benchmarks/training/finetune_loader.py VIDEOS [--rounds 7] [--rule dense] [--rule sparse]

VIDEOS is a folder. Its videos are first prepared as VideoMAE (Tong et al. 2022) prepares Kinetics: short
side 320 px, clips of 10 s, H.264; ffmpeg comes from imageio-ffmpeg. `vfm extract` stores frames at 4 fps and
256 px. Everybody runs on one core and takes turns, and draws the same times, areas and mirrorings. What
counts is the processor's time, of all threads: on a busy machine clocks favour a peer that has several.

vfm              `RandomClip`, as `vfm finetune` reads a sample: JPEGs of the clip, crop, resizing, mirroring.
decord           what the loader of VideoMAE does: a VideoReader with one thread for each sample, get_batch of
                 the frames at the same times, then our crop and resizing of its frames.
decord, 256 px   the same, and decord resizes to the size that vfm stores.

After that: what each step of ours takes with RandAugment, and what evaluation on several clips decodes.
"""

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from vfm.shards.format.layout import PLAN_NAME
from vfm.shards.format.plan import read_plan
from vfm.shards.pixels import jpeg
from vfm.shards.pixels.views import centre
from vfm.shards.reading import dataset as reading
from vfm.shards.reading.clip_frames import read_frames, shown_times
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer.data.augment import draw_clip
from vfm.trainer.data.clip_sampling import ClipSampling
from vfm.trainer.data.clips import PixelReader
from vfm.trainer.recipes.classify import Augmentation
from vfm.trainer.tasks.classify.clips import RandomClip, SpreadClips
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.options import ExtractOptions

FRAMES, SIDE_PX = 8, 224
CROPPED = Augmentation(crop_area=0.08, flip=0.5)
RAND_AUGMENT = "rand-m7-n4-mstd0.5-inc1"
Way = Callable[[int], object]  # reads the sample of this number


def main() -> None:
    """Prepare and extract once, then measure one rule after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rule", action="append", choices=["dense", "sparse"])
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    names = ("decord", "numpy", "pillow", "simplejpeg", "torch")
    print(f"{platform.processor() or platform.machine()}, one core, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in names))
    with tempfile.TemporaryDirectory() as folder:
        prepare(args.videos, Path(folder) / "videos")
        extract([Path(folder) / "videos"], Path(folder) / "data", ExtractOptions(fps=4, size_px=256))
        dataset = open_dataset(Path(folder) / "data")
        for rule in args.rule or ["dense", "sparse"]:
            prepared = RandomClip(
                reader=PixelReader(view=centre(SIDE_PX)),
                sampling=ClipSampling(rule=rule, clip_len=FRAMES),
                augment=CROPPED,
            )
            print(f"\n{rule}: {len(dataset)} samples, {FRAMES} frames of {SIDE_PX} px, {args.rounds} rounds")
            compare(dataset, prepared, rounds=args.rounds)
            share(dataset, prepared, rounds=args.rounds)
            evaluate(dataset, prepared, rounds=args.rounds)


def prepare(videos: Path, folder: Path) -> None:
    """Write the videos as clips of 10 s, short side 320 px."""
    from imageio_ffmpeg import get_ffmpeg_exe

    folder.mkdir()
    scale = "scale='if(gt(iw,ih),-2,320)':'if(gt(iw,ih),320,-2)'"
    cut = ["-force_key_frames", "expr:gte(t,n_forced*10)", "-f", "segment", "-segment_time", "10"]
    for video in sorted(videos.glob("*.mp4")):
        command = [get_ffmpeg_exe(), "-v", "error", "-i", str(video), "-an", "-vf", scale, "-c:v", "libx264"]
        target = folder / f"{video.stem}_%03d.mp4"
        subprocess.run([*command, *cut, "-reset_timestamps", "1", str(target)], check=True)  # noqa: S603


def compare(dataset: Dataset, prepared: RandomClip, *, rounds: int) -> None:
    """Print what a sample takes with vfm and with decord."""
    paths = {source.key: source.path for source in read_plan(dataset.data / PLAN_NAME).sources}
    metas = [dataset.meta(index) for index in range(len(dataset))]

    def read_decord(index: int, *, is_small: bool) -> np.ndarray:
        import decord

        rng, meta = np.random.default_rng(index), metas[index]
        times = shown_times(dataset, index, prepared.sampling.random(meta.num_frames, rng=rng))
        size = {"width": meta.width_px, "height": meta.height_px} if is_small else {}
        reader = decord.VideoReader(paths[meta.key], num_threads=1, ctx=decord.cpu(0), **size)
        rate = Fraction(reader.get_avg_fps()).limit_denominator(1001)
        seconds = [meta.pts_s[i] - meta.pts_s[0] for i in times]
        frames = reader.get_batch([min(int(s * rate), len(reader) - 1) for s in seconds]).asnumpy()
        return draw_clip(frames, how=CROPPED, size_px=SIDE_PX, rng=rng)

    ways: dict[str, Way] = {
        "vfm": lambda index: prepared(dataset, index, np.random.default_rng(index)),
        "decord": lambda index: read_decord(index, is_small=False),
        "decord, 256 px": lambda index: read_decord(index, is_small=True),
    }
    check(ways, dataset)
    took_ms = measure(ways, len(dataset), rounds=rounds)
    print("\n| reader | samples/s | ms per sample | vfm is faster by |\n|---|---|---|---|")
    for name, value in took_ms.items():
        print(f"| {name} | {1e3 / value:.0f} | {value:.2f} | {value / took_ms['vfm']:.1f}× |")


def check(ways: Mapping[str, Way], dataset: Dataset) -> None:
    """Refuse peers that show something else: at one size and with equal draws pixels are nearly equal."""
    differences = []
    for index in range(len(dataset)):
        ours, theirs = ways["vfm"](index), ways["decord, 256 px"](index)
        assert isinstance(ours, dict)
        assert isinstance(theirs, np.ndarray)
        clip = ours["clip"][0]
        assert clip.shape == theirs.shape == (FRAMES, SIDE_PX, SIDE_PX, 3), (clip.shape, theirs.shape)
        assert clip.dtype == theirs.dtype == np.uint8
        differences.append(np.abs(clip.astype(np.int16) - theirs).mean())
    print(f"mean difference of a pixel from decord's: {np.median(differences):.1f} of 255")


def share(dataset: Dataset, prepared: RandomClip, *, rounds: int) -> None:
    """Print what decoding, cropping with resizing, and RandAugment take of a sample."""
    strong = replace(prepared, augment=replace(CROPPED, rand_augment=RAND_AUGMENT))

    def decode(index: int) -> np.ndarray:
        times = prepared.sampling.random(int(dataset.num_frames[index]), rng=np.random.default_rng(index))
        return read_frames(dataset, index, shown_times(dataset, index, times))

    ways: dict[str, Way] = {
        "decoding": decode,
        "crop": lambda index: prepared(dataset, index, np.random.default_rng(index)),
        "all": lambda index: strong(dataset, index, np.random.default_rng(index)),
    }
    took = measure(ways, len(dataset), rounds=rounds)
    steps = {
        "decoding": took["decoding"],
        "crop, resizing, mirroring": took["crop"] - took["decoding"],
        f"RandAugment {RAND_AUGMENT}": took["all"] - took["crop"],
        "all": took["all"],
    }
    print("\n| step | ms per sample | share |\n|---|---|---|")
    for name, value in steps.items():
        print(f"| {name} | {value:.2f} | {value / took['all']:.0%} |")


def evaluate(dataset: Dataset, prepared: RandomClip, *, rounds: int) -> None:
    """Print what 4 clips of 3 crops take, and how often a frame is decoded for them."""
    views = SpreadClips(random_clip=prepared, num_clips=4, num_crops=3)
    rng = np.random.default_rng(0)
    num_wanted = 0
    with mock.patch.object(reading, "decode", wraps=jpeg.decode) as decoded:
        for index in range(len(dataset)):
            views(dataset, index, rng)
            clips = prepared.sampling.spread(int(dataset.num_frames[index]), num_clips=views.num_clips)
            num_wanted += len({time for clip in clips for time in shown_times(dataset, index, clip)})
    ratio = decoded.call_count / num_wanted
    took = measure({"views": lambda index: views(dataset, index, rng)}, len(dataset), rounds=rounds)
    print(f"\n4 clips x 3 crops: {took['views']:.1f} ms per sample, {num_wanted / len(dataset):.1f} frames;")
    print(f"{ratio:.3f} frames decoded per distinct frame wanted")


def measure(ways: Mapping[str, Way], num_samples: int, *, rounds: int) -> dict[str, float]:
    """Let the ways take turns and return the median of each, in milliseconds of processor per sample."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, read in ways.items():
            start_s = time.process_time()
            for index in range(num_samples):
                read(index)
            seconds[name].append(time.process_time() - start_s)
    # The first round warms caches.
    return {name: statistics.median(values[1:]) / num_samples * 1e3 for name, values in seconds.items()}


if __name__ == "__main__":
    main()
