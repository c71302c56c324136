"""What SimVTP, in several ways, and UMT's second stage learn from captioned videos of one's own.

    python benchmarks/training/captioned.py CAPTIONS --root FOLDER [--weights FILE] [--seeds 0 1 2]

CAPTIONS is JSON Lines of `video` and `caption`, its videos under FOLDER; a fifth of them is held out, and the
vocabulary is the words of all captions. A tiny model is pretrained and finetuned to retrieve, each by the
command that users type. A row is one way: losses of the pretraining, then how many videos are found by their
captions, among those learned from and among those held out; means over seeds, and their deviations. Rows with
`short` learn from captions of which every second has lost every second word, so that lengths differ. Rows of
UMT learn from the features of timm's vit_tiny_patch16_224, with the weights in FILE; without it they are left
out. --work keeps datasets and runs: a stopped benchmark goes on.
"""

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REFERENCE = {
    "objective.matched_text": "masked",
    "objective.negatives": "random",
    "objective.across_ranks": "false",
    "model.text_mean": "all",
}
SIMVTP, UMT = "simvtp-tiny", "umt-vl-tiny"
SIDE_PX = {SIMVTP: 64, UMT: 96}
TEACHER = "vit_tiny_patch16_224"


@dataclass(frozen=True, kw_only=True)
class Way:
    """What is trained, and how it is asked; ways that train the same share their runs.

    Attributes:
        trained: the name of the runs.
        recipe: of the pretraining.
        changed: its settings; None pretrains nothing.
        data: the captions learned from, ``whole`` or ``short``, or ``whole`` with the features of a teacher.
        num_ranks: processes that share a batch.
        is_finetuned: whether it learns to retrieve before it is asked.
        asked: options of the evaluation.
        is_online: whether the teacher looks at every clip, in crops as the published loader cuts them.
    """

    trained: str
    recipe: str = SIMVTP
    changed: dict[str, str] | None = field(default_factory=dict)
    data: str = "whole"
    num_ranks: int = 1
    is_finetuned: bool = True
    asked: tuple[str, ...] = ()
    is_online: bool = False


def simvtp(trained: str, *, data: str = "whole", num_ranks: int = 1, **changed: str) -> Way:
    """Return SimVTP with settings, named without their section, that differ from the released code's."""
    named = {key: changed.pop(key.split(".")[1], value) for key, value in REFERENCE.items()}
    return Way(trained=trained, changed=named, data=data, num_ranks=num_ranks)


def umt(trained: str = "umt", **how: Any) -> Way:
    """Return UMT's second stage at a side that a CPU trains."""
    changed = {"model.image_px": str(SIDE_PX[UMT])}
    return Way(trained=trained, recipe=UMT, data="taught", **{"changed": changed, **how})


SCRATCH = {
    SIMVTP: ["--recipe", SIMVTP, "--set", "model.text_mean=all"],
    UMT: ["--recipe", f"{UMT}-retrieve", "--set", f"model.image_px={SIDE_PX[UMT]}"],
}
ONLINE = {
    "data.columns": "frames,text.words",
    "objective.teacher": "online",
    "objective.online_model": TEACHER,
}
VECTORS = ("--rerank", "0")
WAYS = {
    "no pretraining": Way(trained="no-pretraining", changed=None),
    "as released": simvtp("as-released"),
    "clean": simvtp("clean", matched_text="clean"),
    "similar": simvtp("similar", negatives="similar"),
    "clean, similar": simvtp("clean-similar", matched_text="clean", negatives="similar"),
    "clean, two ranks": simvtp("clean-two-ranks", num_ranks=2, matched_text="clean"),
    "clean, across two ranks": simvtp(
        "clean-across-two-ranks", num_ranks=2, matched_text="clean", across_ranks="true"
    ),
    "clean, short": simvtp("clean-short", data="short", matched_text="clean"),
    "clean, short, unpadded": simvtp(
        "clean-short-unpadded", data="short", matched_text="clean", text_mean="unpadded"
    ),
    "UMT, no pretraining": umt("umt-no-pretraining", changed=None),
    "UMT, no pretraining, by vectors": umt("umt-no-pretraining", changed=None, asked=VECTORS),
    "UMT": umt(),
    "UMT, by vectors": umt(asked=VECTORS),
    "UMT, on line, by vectors": umt("umt-on-line", asked=VECTORS, is_online=True),
    "UMT, on line, not finetuned, by vectors": umt(
        "umt-on-line", asked=VECTORS, is_online=True, is_finetuned=False
    ),
    "UMT, not finetuned": umt(is_finetuned=False),
    "UMT, not finetuned, by vectors": umt(is_finetuned=False, asked=VECTORS),
}
PRETRAINED = ("vtc_loss", "val_vtc_loss", "vtm_accuracy", "val_vtm_accuracy")
RECALLS = (("train", 1), ("val", 1), ("val", 5), ("val", 10))
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
COMMAND = [sys.executable, "-m", "vfm.cli"]


def main() -> None:
    """Make the datasets, train every way with every seed, print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("captions", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--epochs", type=int, nargs=2, default=(100, 60), help="pretraining, finetuning")
    parser.add_argument("--views", default="center", help="of each frame that UMT's teacher and student see")
    parser.add_argument("--stored-px", type=int, help="short side of UMT's frames; crops of them need more")
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    names = [*PRETRAINED, *(f"R@{top} {split} %" for split, top in RECALLS)]
    with nullcontext(args.work) if args.work else tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        ways = [name for name in args.ways if args.weights or WAYS[name].recipe != UMT]
        for data, recipe in sorted({(WAYS[name].data, WAYS[name].recipe) for name in ways}):
            make_data(work / data, args, side_px=SIDE_PX[recipe])
        print(f"| way | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
        for name in ways:
            found = [measure(WAYS[name], work, seed=seed, args=args) for seed in args.seeds]
            print(f"| {name} | {' | '.join(cells(found))} |", flush=True)


def make_data(folder: Path, args: argparse.Namespace, *, side_px: int) -> None:
    """Extract the videos and store the ids of their captions, whole or shortened, and what a teacher sees."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in args.captions.read_text().splitlines()]
    words = sorted({word for row in rows for word in row["caption"].split()})
    (folder / "vocab.txt").write_text("\n".join((*SPECIAL, *words)))
    random.Random(0).shuffle(rows)
    for place, row in enumerate(rows):
        row["split"] = "val" if place < len(rows) // 5 else "train"
        if folder.name == "short" and place % 2:
            row["caption"] = " ".join(row["caption"].split()[1::2])
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = folder / "data"
    is_taught = folder.name == "taught"
    stored_px = args.stored_px if is_taught and args.stored_px else side_px
    vfm("extract", folder / "list.jsonl", data, "--root", args.root, "--fps", "12.5", "--size", stored_px)
    vfm("tokenize", data, "--target", f"text:{folder / 'vocab.txt'}", "--name", "words")
    if is_taught:
        vfm("tokenize", data, "--target", f"clip:{TEACHER}", "--weights", args.weights, "--name", "teacher",
            "--crop", side_px, "--store", "fp16", "--levels", "1", "--views", args.views)  # fmt: skip


def measure(way: Way, work: Path, *, seed: int, args: argparse.Namespace) -> list[float]:
    """Return the figures of one way with one seed."""
    data, runs = work / way.data / "data", work / "runs" / f"{way.trained}-{seed}"
    common = ["--set", f"train.seed={seed}", "--split", "train", "--threads", "1"]
    epochs: tuple[int, int] = args.epochs
    start: list[object] = [*SCRATCH[way.recipe]]
    figures = [math.nan] * len(PRETRAINED)
    if way.changed is not None:
        ranks = ["--nproc", way.num_ranks] if way.num_ranks > 1 else []
        changed = way.changed | {"train.validate_epochs": str(epochs[0])}
        if way.is_online:
            changed |= ONLINE | {"objective.online_weights": str(args.weights)}
        vfm("pretrain", way.recipe, data, "--out", runs / "pretrained", "--epochs", epochs[0], *ranks,
            *settings(changed), *common)  # fmt: skip
        start = ["--init", runs / "pretrained"]
        last = json.loads((runs / "pretrained" / "log.jsonl").read_text().splitlines()[-1])
        figures = [last[name] for name in PRETRAINED]
    quiet = settings({"train.validate_split": "none"})
    asked = runs / "found" if way.is_finetuned else runs / "pretrained"
    if way.is_finetuned:
        vfm("finetune", "retrieve", data, *start, "--out", asked, "--epochs", epochs[1], *quiet, *common)
    for split in ("train", "val"):
        vfm(
            "evaluate", asked, data, "--protocol", "retrieval", "--split", split, "--threads", "1", *way.asked
        )
    return figures + [recall(asked, split, top) for split, top in RECALLS]


def settings(changed: dict[str, str]) -> list[str]:
    """Return the options that set these keys."""
    return [part for key, value in changed.items() for part in ("--set", f"{key}={value}")]


def recall(run: Path, split: str, top: int) -> float:
    """Return the percentage of captions that find their video among the first ``top``."""
    report = json.loads((run / f"evaluate-retrieval-{split}.json").read_text())
    return 100 * float(report["text_to_video"][f"recall_at_{top}"])


def vfm(*parts: object) -> None:
    """Run a command, its words on stderr."""
    subprocess.run([*COMMAND, *map(str, parts)], check=True, stdout=sys.stderr)


def cells(found: list[list[float]]) -> Iterable[str]:
    """Return the mean of each figure over the seeds, and its deviation."""
    for values in zip(*found, strict=True):
        if math.isnan(values[0]):
            yield ""
            continue
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        yield f"{statistics.mean(values):.2f}{spread}"


if __name__ == "__main__":
    main()
