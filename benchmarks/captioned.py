"""What each of SimVTP's ways around a weakness of its released code does, on captioned videos of one's own.

    python benchmarks/captioned.py CAPTIONS --root FOLDER [--seeds 0 1 2] [--work FOLDER]

CAPTIONS is JSON Lines of `video` and `caption`, its videos under FOLDER; a fifth of them is held out, and the
vocabulary is the words of all captions. simvtp-tiny is pretrained and finetuned to retrieve, each by the
command that users type. A row is one way: losses of the pretraining, then how many videos are found by their
captions, among those learned from and among those held out; means over seeds, and their deviations. Rows with
`short` learn from captions of which every second has lost every second word, so that lengths differ. --work
keeps dataset and runs: a stopped benchmark goes on.
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
from pathlib import Path

REFERENCE = {
    "objective.matched_text": "masked",
    "objective.negatives": "random",
    "objective.across_ranks": "false",
    "model.text_mean": "all",
}
WAYS: dict[str, dict[str, str]] = {
    "no pretraining": {},
    "as released": {},
    "clean": {"objective.matched_text": "clean"},
    "similar": {"objective.negatives": "similar"},
    "clean, similar": {"objective.matched_text": "clean", "objective.negatives": "similar"},
    "clean, two ranks": {"objective.matched_text": "clean"},
    "clean, across two ranks": {"objective.matched_text": "clean", "objective.across_ranks": "true"},
    "clean, short": {"objective.matched_text": "clean"},
    "clean, short, unpadded": {"objective.matched_text": "clean", "model.text_mean": "unpadded"},
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--epochs", type=int, nargs=2, default=(100, 60), help="pretraining, finetuning")
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    names = [*PRETRAINED, *(f"R@{top} {split} %" for split, top in RECALLS)]
    with nullcontext(args.work) if args.work else tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in ("whole", "short"):
            make_data(work / name, args)
        print(f"| way | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
        for way in args.ways:
            found = [measure(way, work, seed=seed, epochs=args.epochs) for seed in args.seeds]
            print(f"| {way} | {' | '.join(cells(found))} |", flush=True)


def make_data(folder: Path, args: argparse.Namespace) -> None:
    """Extract the videos and store the ids of their captions, whole or shortened."""
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
    vfm("extract", folder / "list.jsonl", data, "--root", args.root, "--fps", "12.5", "--size", "64")
    vfm("tokenize", data, "--target", f"text:{folder / 'vocab.txt'}", "--name", "words")


def measure(way: str, work: Path, *, seed: int, epochs: tuple[int, int]) -> list[float]:
    """Return the figures of one way with one seed."""
    data = work / ("short" if "short" in way else "whole") / "data"
    runs = work / "runs" / f"{way.replace(', ', '-').replace(' ', '-')}-{seed}"
    common = ["--set", f"train.seed={seed}", "--split", "train", "--threads", "1"]
    if way == "no pretraining":
        start = ["--recipe", "simvtp-tiny", *settings({"model.text_mean": "all"})]
        figures = [math.nan] * len(PRETRAINED)
    else:
        ranks = ["--nproc", "2"] if "two ranks" in way else []
        changed = REFERENCE | WAYS[way] | {"train.validate_epochs": str(epochs[0])}
        vfm("pretrain", "simvtp-tiny", data, "--out", runs / "pretrained", "--epochs", epochs[0], *ranks,
            *settings(changed), *common)  # fmt: skip
        start = ["--init", runs / "pretrained"]
        last = json.loads((runs / "pretrained" / "log.jsonl").read_text().splitlines()[-1])
        figures = [last[name] for name in PRETRAINED]
    quiet = settings({"train.validate_split": "none"})
    vfm("finetune", "retrieve", data, *start, "--out", runs / "found", "--epochs", epochs[1], *quiet, *common)
    for split in ("train", "val"):
        vfm("evaluate", runs / "found", data, "--protocol", "retrieval", "--split", split, "--threads", "1")
    return figures + [recall(runs / "found", split, top) for split, top in RECALLS]


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
