"""An update of UMT's second stage with a stored teacher against one whose teacher looks at every clip.

    python benchmarks/umt/second_stage.py CAPTIONS --root FOLDER [--batch 4] [--rounds 5] [--store int8]

CAPTIONS is JSON Lines of `video` and `caption`, its videos under FOLDER. Model and teacher have the sizes of
umt-vl-base (ViT-B/16, 4 frames of 224 px, BERT-base of 30,522 words) and random weights. Both ways read the
same frames from shards and do a whole update; they take turns, medians count.
"""

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from in_turns import Way, autocast, compare, table
from random_teacher import TEACHER, save_random_teacher
from torch import Tensor

from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer.data.stream import stack
from vfm.trainer.methods.umt_vl.pretrain import UmtVl, build_method
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.video2token.jobs.extract.extract import extract_sources
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sources.listing import list_sources
from vfm.video2token.sources.lists.reading import ListOptions
from vfm.video2token.target import TargetOptions
from vfm.video2token.teachers.frame_teacher import open_teacher

COLUMNS = ("frames", "clip.bench", "text.words")
NUM_WORDS = 30522
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def main() -> None:
    """Make a dataset and let both ways take turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("captions", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--num-videos", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--store", default="int8")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "teacher.safetensors"
        save_random_teacher(TEACHER, weights)
        dataset = make_dataset(Path(folder), weights, args)
        stored = method(dataset)
        online = method(dataset, "objective.teacher=online", f"objective.online_weights={weights}")
        ways = {"stored": update(stored, dataset, args), "on line": update(online, dataset, args)}
        rates = compare(ways, rounds=args.rounds)
    print(f"{platform.machine()}, {args.threads} threads, torch {torch.__version__}, {args.precision}")
    print("update, clips/s:", table(rates))
    print(f"  stored / on line {rates['stored'] / rates['on line']:.2f}")


def make_dataset(folder: Path, weights: Path, args: argparse.Namespace) -> Dataset:
    """Extract frames, and compute the ids of captions and the features of the teacher."""
    rows = [json.loads(line) for line in args.captions.read_text().splitlines()[: args.num_videos]]
    words = sorted({word for row in rows for word in row["caption"].split()})
    others = [f"[unused{number}]" for number in range(NUM_WORDS - len(SPECIAL) - len(words))]
    (folder / "vocab.txt").write_text("\n".join((*SPECIAL, *words, *others)))
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = folder / "data"
    options = ExtractOptions(sampling="uniform", fps=None, num_frames=8, size_px=224)
    sources = list_sources(
        [folder / "list.jsonl"], missing="error", options=ListOptions(root=args.root)
    ).sources
    extract_sources(sources, data, options)
    own = {"store": args.store, "weights": str(weights), "precision": args.precision}
    teacher = TargetOptions(name="bench", batch_size=16, own=own)
    tokenize(data, [f"clip:{TEACHER}"], teacher, accept_data=True)
    tokenize(data, [f"text:{folder / 'vocab.txt'}"], TargetOptions(name="words"), accept_data=True)
    return open_dataset(data, columns=COLUMNS)


def method(dataset: Dataset, *settings: str) -> UmtVl:
    """Return umt-vl-base for a dataset."""
    given = [f"data.columns={','.join(COLUMNS)}", "data.stride=1", *settings]
    recipe: Recipe = override(load_recipe("umt-vl-base"), given)
    return build_method(recipe, dataset, open_teacher=open_teacher).train()


def update(of: UmtVl, dataset: Dataset, args: argparse.Namespace) -> Way:
    """Return a whole update, reading included."""
    optimizer = torch.optim.AdamW(of.parameters(), lr=1e-5, fused=True)
    read = reader(of, dataset, batch=args.batch)

    def run() -> tuple[float, float | None]:
        with autocast(args.precision):
            loss = of(read())["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return args.batch, None

    return run


def reader(of: UmtVl, dataset: Dataset, *, batch: int) -> Callable[[], dict[str, Tensor]]:
    """Return what reads a batch from shards, in this process."""
    rng = np.random.default_rng(0)

    def read() -> dict[str, Tensor]:
        picked = rng.choice(len(dataset), size=batch, replace=False)
        found: dict[str, Tensor] = stack([of.prepare(dataset, int(index), rng) for index in picked])
        return found

    return read


if __name__ == "__main__":
    main()
