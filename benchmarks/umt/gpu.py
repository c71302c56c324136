"""UMT-B on one GPU, in one go of at most eight minutes: its teacher, its updates from memory and from shards.

    make gpu
    python benchmarks/umt/gpu.py [--batch 128 256] [--updates 160] [--workers 16] [--store int8] [--quick]

Makes its own videos and draws its own weights; nothing is downloaded. Updates are those of `vfm pretrain` in
bf16, compiled. Every part prints its lines once it is done; what does not fit into --minutes is left out.

teacher   frames per second: ViT-B/16 alone, its images on the device, and `vfm tokenize` from shards; how
          near features come to those of a CPU.
memory    clips per second of updates on one batch that lies on the device, and the share of the device's
          peak: of the data sheet's where we know it, and of what a large product of matrices reaches.
shards    the same, with batches read by the loader; the share of the time that the device waited for
          them, by events on its own clock.

--quick does everything at a size that a CPU ends in seconds; its figures mean nothing.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import timm
import torch
from random_teacher import save_random_teacher
from updates import Mark, Updates

from vfm.cli.demo.camera import MovingPhotosOptions
from vfm.cli.demo.moving_photos import make_moving_photos
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.engine.updates.precision import autocast
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.options import ExtractOptions
from vfm.video2token.target import TargetOptions
from vfm.video2token.teachers.frame_teacher import open_teacher

# Dense bf16, from the makers' data sheets, by a part of the device's name.
PEAK_TFLOPS = {"H100": 989, "H200": 989, "A100": 312, "L40S": 362, "RTX 4090": 165}
NUM_FRAMES = 16  # of a video
WARM_UP, ROUNDS = 5, 20
PART_S = 90  # at most, as far as we know


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is measured.

    Attributes:
        recipe: the student.
        teacher: a model of timm.
        crop_px: side of what both see.
        num_videos: in the dataset.
        batches: clips of an update.
        teacher_batch: frames that the teacher looks at at once.
        matrix: side of the matrices that tell the peak.
    """

    recipe: str
    teacher: str
    crop_px: int
    num_videos: int
    batches: tuple[int, ...]
    teacher_batch: int
    matrix: int


def main() -> None:
    """Measure part after part, for as long as there is time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--updates", type=int, default=160)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--store", default="int8")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    size = Size(
        recipe="umt-base",
        teacher="vit_base_patch16_clip_quickgelu_224",
        crop_px=224,
        num_videos=2 * max(args.batch),
        batches=tuple(args.batch),
        teacher_batch=256,
        matrix=8192,
    )
    if args.quick:
        size = Size(
            recipe="umt-tiny",
            teacher="vit_tiny_patch16_224",
            crop_px=32,
            num_videos=8,
            batches=(4,),
            teacher_batch=16,
            matrix=256,
        )
    end_s = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args, size)
        parts: list[tuple[str, Callable[[], None]]] = [("teacher", bench.teacher)]
        for batch_size in size.batches:
            parts.append((f"memory, batch {batch_size}", partial(bench.memory, batch_size)))
            parts.append((f"shards, batch {batch_size}", partial(bench.shards, batch_size)))
        for name, part in parts:
            if time.monotonic() < end_s - PART_S:
                part()
            else:
                print(f"{name}: left out, {args.minutes:g} minutes are nearly over")


class Bench:
    """One dataset, one teacher, one student, on the device that there is."""

    def __init__(self, folder: Path, args: argparse.Namespace, size: Size) -> None:
        self.args, self.size, self.data = args, size, folder / "data"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else platform.processor() or "CPU"
        print(f"{name}, {os.cpu_count()} cores, torch {torch.__version__}, --workers {args.workers}")
        self.peak = next((tflops for part, tflops in PEAK_TFLOPS.items() if part in name), None)
        self.weights = folder / "teacher.safetensors"
        save_random_teacher(size.teacher, self.weights)
        photos = MovingPhotosOptions(
            num_pretrain=size.num_videos,
            num_train=0,
            num_val=0,
            size_px=size.crop_px,
            fps=8,
            duration_s=NUM_FRAMES / 8,
        )
        labels = make_moving_photos(folder / "videos", photos, num_workers=os.cpu_count() or 1)
        frames = ExtractOptions(sampling="native", fps=None, size_px=size.crop_px)
        extract([labels], self.data, frames, num_workers=args.workers or 1)

    def teacher(self) -> None:
        """Measure the teacher alone, and the job around it."""
        size = self.size
        network = timm.create_model(size.teacher, num_classes=0, img_size=size.crop_px)
        network.to(self.device).eval()
        images = torch.randn(size.teacher_batch, 3, size.crop_px, size.crop_px, device=self.device)

        def look() -> None:
            with torch.inference_mode(), autocast("bf16", device=self.device):
                network(images)

        alone = size.teacher_batch / statistics.median(self.seconds(look, rounds=10))
        own = {
            "store": self.args.store,
            "weights": str(self.weights),
            "precision": "bf16",
            "crop_px": size.crop_px,
        }
        options = TargetOptions(name="bench", device=self.device.type, batch_size=size.teacher_batch, own=own)
        (done,) = tokenize(self.data, [f"clip:{size.teacher}"], options, accept_data=True)
        job = size.num_videos * NUM_FRAMES / done.elapsed_s
        told = f"alone {alone:.0f}, vfm tokenize {job:.0f}, {job / alone:.2f} of it"
        print(f"teacher, frames/s: {told}", flush=True)
        for precision in ("fp32", "bf16"):
            self.agreement(precision)

    @torch.inference_mode()
    def agreement(self, precision: str) -> None:
        """Print how near this device's teacher comes to that of a CPU in fp32."""
        dataset = open_dataset(self.data)
        frames = np.stack([dataset.frames(index, [0])[0] for index in range(min(len(dataset), 16))])
        found = []
        for device, kind in (("cpu", "fp32"), (self.device.type, precision)):
            teacher = open_teacher(
                self.size.teacher,
                grid=self.size.crop_px // 16,
                levels=6,
                weights=str(self.weights),
                precision=kind,
            )
            found.append(teacher(torch.from_numpy(frames).to(device)))
        (one, weights), (other, other_weights) = ((features.cpu(), seen.cpu()) for features, seen in found)
        cosine = torch.nn.functional.cosine_similarity(one.double(), other.double(), dim=-1)
        off = (other_weights / weights - 1).abs()
        told = f"cosine mean {cosine.mean():.7f}, least {cosine.min():.6f}; attention off by {off.mean():.2%}"
        print(f"teacher in {precision} against fp32 on a CPU: {told}, {off.max():.2%} at most", flush=True)

    def memory(self, batch_size: int) -> None:
        """Measure updates on a batch that lies on the device."""
        run = self.updates(batch_size)
        (batch,) = (run.move(step) for step in run.stream(1))
        gflop = run.gflop(batch)
        self.compile(run)
        rate = batch_size / statistics.median(self.seconds(lambda: run.update(batch), rounds=ROUNDS))
        tflops, reached = rate * gflop / 1e3, self.reached()
        shares = [f"{tflops / reached:.0%} of the {reached:.3g} TFLOP/s of a product of matrices"]
        if self.peak is not None:
            shares.insert(0, f"{tflops / self.peak:.0%} of the data sheet's {self.peak}")
        told = f"{rate:.4g} clips/s, {gflop:.3g} GFLOP a clip, {', '.join(shares)}"
        print(f"memory, batch {batch_size}: {told}", flush=True)

    def shards(self, batch_size: int) -> None:
        """Measure updates on batches from the loader, and how long the device waits for them.

        The second half counts: the first lives on what was read ahead while the device warmed up.
        """
        run = self.updates(batch_size)
        self.compile(run)
        asked, ready = [], []
        for step in run.stream(self.args.updates):
            asked.append(Mark(self.device))
            batch = run.move(step)
            ready.append(Mark(self.device))
            run.update(batch)
        asked.append(Mark(self.device))
        half = self.args.updates // 2
        whole_s = asked[half].seconds_until(asked[-1])
        waits_s = [begin.seconds_until(end) for begin, end in zip(asked[half:-1], ready[half:], strict=True)]
        rate = batch_size * len(waits_s) / whole_s
        told = f"{rate:.4g} clips/s, waiting for data {sum(waits_s) / whole_s:.1%}"
        print(f"shards, batch {batch_size}: {told}", flush=True)

    def updates(self, batch_size: int) -> Updates:
        """Return the student, to be updated by batches of a size."""
        settings = [
            f"train.batch_size={batch_size}",
            f"train.num_workers={self.args.workers}",
            "train.epochs=1000",
            "data.columns=frames,clip.bench",
            "data.stride=1",
            f"model.image_px={self.size.crop_px}",
        ]
        recipe = override(load_recipe(self.size.recipe), settings)
        return Updates(recipe, open_dataset(self.data, columns=recipe.data.columns), device=self.device)

    def compile(self, run: Updates) -> None:
        """Compile the method, unless it is not to be."""
        if not self.args.no_compile:
            run.method.compile()

    def reached(self) -> float:
        """Return the TFLOP a second of a large product of matrices in bf16."""
        side = self.size.matrix
        one, other = (torch.randn(side, side, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        return 2e-12 * side**3 / statistics.median(self.seconds(lambda: one @ other, rounds=10))

    def seconds(self, work: Callable[[], object], *, rounds: int) -> list[float]:
        """Return how long each round takes on the device's clock, after some that warm up."""
        marks = []
        for _ in range(WARM_UP + rounds):
            marks.append(Mark(self.device))
            work()
        marks.append(Mark(self.device))
        return [begin.seconds_until(end) for begin, end in pairwise(marks[WARM_UP:])]


if __name__ == "__main__":
    main()
