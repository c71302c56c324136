"""UMT from shards against what its users do now: teacher and decoder in every step.

    python benchmarks/umt/shards.py VIDEOS [--batch 4] [--rounds 5] [--threads 2] [--store int8]

VIDEOS is a folder or a list that `vfm extract` takes. Student and teacher have the sizes of UMT-B (ViT-B/16,
8 frames of 224 px, 6 levels) and random weights; ways take turns, medians count.

teacher      frames per second: `vfm tokenize --target clip` of frames in shards, on one core, beside the same
             network in a loop over normalized images that lie in memory, every part of it in the precision
             asked for, norms too, which a column does not round; and two workers beside one.
step         clips per second of a whole update: read from shards; beside the same student taught on line, its
             clips decoded by PyAV from the source videos up to the last frame, resized and cut to 224 px.
student      clips per second, forward and backward alone: ours, beside a plain one that embeds every patch by
             the convolution and spells attention out.
bytes        of a clip of 8 frames, by storage.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path

import av
import numpy as np
import timm
import torch
from in_turns import Way, autocast, compare, table
from plain_student import plain_student
from random_teacher import TEACHER, save_random_teacher
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vfm.shards.clips import segment_times
from vfm.shards.format.layout import PLAN_NAME
from vfm.shards.format.plan import read_plan
from vfm.shards.pixels.views import apply_view, centre
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer.data.masks import arrival_times
from vfm.trainer.data.stream import stack
from vfm.trainer.methods.umt.pretrain import Umt, build_method
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.options import ExtractOptions
from vfm.video2token.target import TargetOptions
from vfm.video2token.targets import build_target
from vfm.video2token.targets.clip import ClipTarget
from vfm.video2token.teachers.frame_teacher import open_teacher

STORES = ("fp32", "fp16", "int8", "pq:32", "pq:16")


def main() -> None:
    """Make a dataset, and let the ways of each part take turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", type=Path)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--store", default="int8")
    parser.add_argument("--part", choices=["teacher", "step", "student", "bytes"], action="append")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args)
        for part in args.part or ["teacher", "step", "student", "bytes"]:
            getattr(bench, part)()


class Bench:
    """One dataset of frames, one random teacher, and the ways to learn from them."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.args, self.data = args, folder / "data"
        self.weights = folder / "teacher.safetensors"
        save_random_teacher(TEACHER, self.weights)
        extract(
            [args.videos], self.data, ExtractOptions(sampling="uniform", fps=None, num_frames=32, size_px=224)
        )

    def options(self, store: str, *, name: str | None = None) -> TargetOptions:
        """Return the options of a column of the teacher."""
        own = {"store": store, "weights": str(self.weights), "precision": self.args.precision}
        return TargetOptions(name=name, batch_size=16, own=own)

    def column(self, store: str, *, num_workers: int = 1) -> float:
        """Make a column of the teacher; return its seconds, without those of measuring on a sample before."""
        shutil.rmtree(self.data / "clip.bench", ignore_errors=True)
        (done,) = tokenize(
            self.data,
            [f"clip:{TEACHER}"],
            self.options(store, name="bench"),
            num_workers=num_workers,
            accept_data=True,
        )
        return done.elapsed_s

    def teacher(self) -> None:
        """Compare computing a column with its bare network."""
        target = build_target(f"clip:{TEACHER}", self.options("int8"))
        assert isinstance(target, ClipTarget)
        dtype = torch.bfloat16 if self.args.precision == "bf16" else torch.float32
        network, images = target._teacher._network.to(dtype), torch.randn(16, 3, 224, 224, dtype=dtype)
        num_frames = int(open_dataset(self.data).num_frames.sum())

        def bare() -> tuple[float, float | None]:
            with one_core(), torch.inference_mode():
                for _ in range(8):
                    network(images)
            return 8 * 16, None

        def ours() -> tuple[float, float | None]:
            with one_core():
                return num_frames, self.column("int8")

        def two() -> tuple[float, float | None]:
            return num_frames, self.column("int8", num_workers=2)

        rates = compare({"bare": bare, "column": ours, "two workers": two}, rounds=self.args.rounds)
        print("teacher, frames/s:", table(rates))
        print(f"  column / bare {rates['column'] / rates['bare']:.3f}")
        print(f"  two workers / one {rates['two workers'] / rates['column']:.2f}")

    def step(self) -> None:
        """Compare a step from shards with one that decodes and teaches on line."""
        self.column(self.args.store)
        dataset = open_dataset(self.data, columns=("frames", "clip.bench"))
        stored = self.method(dataset)
        online = self.method(dataset, "objective.teacher=online", f"objective.online_weights={self.weights}")
        paths = {source.key: source.path for source in read_plan(self.data / PLAN_NAME).sources}
        ways: dict[str, Way] = {
            "from shards": self.update(stored, lambda rng: self.read(stored, dataset, rng)),
            "on line": self.update(online, lambda rng: self.decode(dataset, paths, rng)),
        }
        rates = compare(ways, rounds=self.args.rounds)
        print("step, clips/s:", table(rates))
        print(f"  from shards / on line {rates['from shards'] / rates['on line']:.2f}")
        begun_s = time.perf_counter()
        self.read(stored, dataset, np.random.default_rng(0))
        read_s = time.perf_counter() - begun_s
        print(
            f"  reading without workers takes {read_s * rates['from shards'] / self.args.batch:.1%} of a step"
        )

    def student(self) -> None:
        """Compare forward and backward with a plain student's."""
        self.column("int8")
        dataset = open_dataset(self.data, columns=("frames", "clip.bench"))
        ours = self.method(dataset)
        batch = self.read(ours, dataset, np.random.default_rng(0))

        def both(plain: bool) -> Way:
            def run() -> tuple[float, float | None]:
                with plain_student() if plain else nullcontext():
                    with autocast(self.args.precision):
                        loss = ours(batch)["loss"]
                    loss.backward()
                ours.zero_grad(set_to_none=True)
                return self.args.batch, None

            return run

        rates = compare({"ours": both(False), "plain": both(True)}, rounds=self.args.rounds)
        print("student, clips/s:", table(rates))
        print(f"  ours / plain {rates['ours'] / rates['plain']:.2f}")
        with FlopCounterMode(display=False) as counter:
            both(False)()
        print(f"  {counter.get_total_flops() / self.args.batch / 1e9:.0f} GFLOP a clip, forward and backward")
        network = timm.create_model(TEACHER, num_classes=512)
        for block in network.get_submodule("blocks").children():
            block.attn.fused_attn = False  # type: ignore[union-attr]  # its products are not counted
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network(torch.zeros(8, 3, 224, 224))
        print(f"  {counter.get_total_flops() / 1e9:.0f} GFLOP a clip for its teacher")

    def bytes(self) -> None:
        """Print what a clip takes."""
        for store in STORES:
            self.column(store)
            folder = self.data / "clip.bench"
            dataset = open_dataset(self.data, columns=("clip.bench",))
            size = sum(path.stat().st_size for path in folder.glob("*.tar"))
            print(f"  {store}: {size / int(dataset.num_frames.sum()) * 8 / 1e3:.0f} kB for 8 frames")

    def method(self, dataset: Dataset, *settings: str) -> Umt:
        """Return UMT-B for a dataset."""
        given = ["data.columns=frames,clip.bench", "data.stride=1", *settings]
        recipe: Recipe = override(load_recipe("umt-base"), given)
        return build_method(recipe, dataset, open_teacher=open_teacher).train()

    def update(self, method: Umt, read: Callable[[np.random.Generator], dict[str, Tensor]]) -> Way:
        """Return a whole update, reading included."""
        optimizer = torch.optim.AdamW(method.parameters(), lr=1e-4)
        rng = np.random.default_rng(0)

        def run() -> tuple[float, float | None]:
            batch = read(rng)
            with autocast(self.args.precision):
                loss = method(batch)["loss"]
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return self.args.batch, None

        return run

    def read(self, method: Umt, dataset: Dataset, rng: np.random.Generator) -> dict[str, Tensor]:
        """Read a batch from shards, in this process."""
        picked = rng.integers(len(dataset), size=self.args.batch)
        batch: dict[str, Tensor] = stack([method.prepare(dataset, int(index), rng) for index in picked])
        return batch

    def decode(self, dataset: Dataset, paths: dict[str, str], rng: np.random.Generator) -> dict[str, Tensor]:
        """Decode the clips of a batch from their videos."""
        clips = []
        for index in rng.integers(len(dataset), size=self.args.batch).tolist():
            with av.open(paths[dataset.keys[index]]) as container:
                stream = container.streams.video[0]
                times = segment_times(stream.frames, clip_len=8, rng=rng).tolist()
                decoded = islice(container.decode(stream), times[-1] + 1)
                frames = [frame.to_ndarray(format="rgb24") for i, frame in enumerate(decoded) if i in times]
            clips.append(apply_view(np.stack(frames), centre(224)))
        arrivals = arrival_times((self.args.batch, 8, 196), rng=rng)
        return {"clip": torch.from_numpy(np.stack(clips)), "arrivals": torch.from_numpy(arrivals)}


@contextmanager
def one_core() -> Iterator[None]:
    """Keep to one core and one thread in the block."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(cores)})
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
