"""Compares MaskFeat's training with HOG that is stored and with HOG that is made on line.

    python benchmarks/training/maskfeat.py DATA [--rounds 20] [--column hog] [--updates 2]

DATA has frames of 224 px or more, and a column of `vfm tokenize DATA --target hog`. One thread; ways take
turns sample by sample, medians count. First what a loader does for a sample, then an update of MViT-S by one
sample: forward and backward pass and the optimizer, whose inputs differ in nothing but who made them.

on line, random crops    crops and mirroring drawn, as published
on line, middle          the middle square
stored, middle           the same, HOG read
frames alone             the middle square without any HOG
"""

import argparse
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer.data.stream import stack
from vfm.trainer.engine.updates.precision import autocast
from vfm.trainer.method import Method
from vfm.trainer.methods.maskfeat import build, build_clip_reader
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe

_MIDDLE = ("objective.crop_area=none", "objective.flip=0")


def main() -> None:
    """Let the ways take turns and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--column", default="hog")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--updates", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    methods = make_methods(args.data, column=args.column)
    print(f"{platform.machine()}, torch {torch.__version__}, one thread, {args.data}")
    print("| ms a sample | loader |\n|---|---|")
    for name, seconds in read_in_turns(args.data, methods, num_rounds=args.rounds).items():
        print(f"| {name} | {1e3 * seconds:.1f} |")
    if args.updates:
        print("\n| s an update of one sample | |\n|---|---|")
        for name, seconds in update_in_turns(methods, num_updates=args.updates).items():
            print(f"| {name} | {seconds:.2f} |")


def make_methods(data: Path, *, column: str) -> dict[str, tuple[Method, Dataset, Recipe]]:
    """Return each way's method, the dataset as it is opened for it, and its recipe."""
    ways = {
        "on line, random crops": (),
        "on line, middle": _MIDDLE,
        "stored, middle": (*_MIDDLE, f"data.columns=frames,{column}"),
    }
    made = {}
    for name, settings in ways.items():
        recipe = override(load_recipe("maskfeat-mvit-s"), [*settings, "data.stride=1"])
        dataset = open_dataset(data, columns=recipe.data.columns)
        made[name] = (build(recipe, dataset), dataset, recipe)
    return made


def read_in_turns(
    data: Path, methods: dict[str, tuple[Method, Dataset, Recipe]], *, num_rounds: int
) -> dict[str, float]:
    """Return the median seconds that reading a sample takes."""
    frames = open_dataset(data, columns=("frames",))
    reader = build_clip_reader(load_recipe("maskfeat-mvit-s"), frames)
    seconds: dict[str, list[float]] = {name: [] for name in [*methods, "frames alone"]}
    for turn in range(num_rounds + 2):
        index = turn % len(frames)
        for name, (method, dataset, _) in methods.items():
            begun_s = time.perf_counter()
            method.prepare(dataset, index, np.random.default_rng(turn))
            seconds[name].append(time.perf_counter() - begun_s)
        begun_s = time.perf_counter()
        reader(frames, index, np.arange(min(16, int(frames.num_frames[index]))))
        seconds["frames alone"].append(time.perf_counter() - begun_s)
    return {name: statistics.median(times[2:]) for name, times in seconds.items()}


def update_in_turns(
    methods: dict[str, tuple[Method, Dataset, Recipe]], *, num_updates: int
) -> dict[str, float]:
    """Return the median seconds of an update, in bf16 where the processor multiplies it."""
    batches = {
        name: stack([method.prepare(dataset, 0, np.random.default_rng(0))])
        for name, (method, dataset, _) in methods.items()
    }
    method = next(iter(methods.values()))[0]
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.0, fused=True)
    seconds: dict[str, list[float]] = {name: [] for name in batches}
    for _ in range(num_updates + 1):
        for name, batch in batches.items():
            begun_s = time.perf_counter()
            with autocast("auto", device=torch.device("cpu")):
                loss = method(batch)["loss"]
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds[name].append(time.perf_counter() - begun_s)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


if __name__ == "__main__":
    main()
