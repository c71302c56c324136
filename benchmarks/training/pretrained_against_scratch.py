"""What pretraining is worth on videos of one's own: finetuned after it, and from scratch, by the same recipe.

    python benchmarks/training/pretrained_against_scratch.py LABELS --root FOLDER --weights FILE [--seeds 0 1]

LABELS is a list with a column `split` (train, val) that `vfm extract` takes, its videos under FOLDER; FILE
holds the weights of vit_tiny_patch16_224, the teacher of umt-tiny. Every step is a command as users type it.
Encoders see split train alone; what is counted, on split val, is the last checkpoint, never the best one. A
seed is that of the pretraining and of the finetuning; the finetuning from scratch has the same. --work FOLDER
keeps dataset and runs: a stopped benchmark goes on.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

TEACHER = "vit_tiny_patch16_224"
COLUMNS = {
    "umt-tiny": "frames,clip.teacher",
    "videomae-tiny": "frames",
    "vimpac-tiny": "vq.codes",
    "maskfeat-mvit-tiny": "frames",
}
SIZE_PX, NUM_FRAMES, CODES_PX = 160, 16, 128


def main() -> None:
    """Make the dataset and its columns, train, print a row for each encoder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--encoders", nargs="+", default=list(COLUMNS), choices=list(COLUMNS))
    parser.add_argument("--threads", default="1")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="of the finetuning")
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    with nullcontext(args.work) if args.work else tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        make_data(data, args)
        print("| encoder | pretrained % | from scratch % | difference | majority % |\n|---|---|---|---|---|")
        for encoder in args.encoders:
            pairs = [compare(data, encoder, seed=seed, args=args) for seed in args.seeds]
            report(encoder, pairs)


def make_data(data: Path, args: argparse.Namespace) -> None:
    """Extract the videos, compute the teacher's features, fit a codebook and compute its codes."""
    codebook = data.parent / "codes"
    vfm("extract", args.labels, data, "--root", args.root, "--num-frames", NUM_FRAMES, "--size", SIZE_PX)
    vfm("tokenize", data, "--target", f"clip:{TEACHER}", "--name", "teacher", "--weights", args.weights,
        "--crop", SIZE_PX, "--store", "fp16", "--accept-data")  # fmt: skip
    vfm("fit-codebook", data, codebook, "--crop", CODES_PX)
    vfm("tokenize", data, "--target", f"vq:{codebook}")


def compare(data: Path, encoder: str, *, seed: int, args: argparse.Namespace) -> tuple[float, float, float]:
    """Return percent right after pretraining, from scratch, and of the most frequent class."""
    runs = data.parent / "runs" / f"{encoder}-{seed}"
    common = ["--set", f"train.seed={seed}", "--threads", args.threads, "--accept-data", "--split", "train"]
    # A clip's frames are 1/16 of its video apart; without a rate, the stride has to be said.
    columns = ["--set", f"data.columns={COLUMNS[encoder]}"]
    vfm("pretrain", encoder, data, "--out", runs / "pretrained", *columns, *common)
    changes = [part for setting in args.settings for part in ("--set", setting)]
    found = {}
    for name, start in (("finetuned", ["--init", runs / "pretrained"]), ("scratch", ["--recipe", encoder])):
        own = columns if name == "scratch" else []
        vfm("finetune", "classify", data, *start, "--out", runs / name, *own, *common, *changes)
        found[name] = evaluate(runs / name, data)
    return percent(found["finetuned"]), percent(found["scratch"]), 100 * found["scratch"]["majority_rate"]


def evaluate(run: Path, data: Path) -> dict[str, Any]:
    """Return what `vfm evaluate` says of a run, five clips of every video."""
    done = subprocess.run(
        [*COMMAND, "evaluate", run, data, "--json", "--threads", "1", "--accept-data"],
        check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    (result,) = json.loads(done.stdout)
    said: dict[str, Any] = result
    return said


def percent(result: dict[str, Any]) -> float:
    """Return the percentage of samples whose class was named."""
    return 100 * float(result["accuracy"])


COMMAND = [sys.executable, "-m", "vfm.cli"]


def vfm(*parts: object) -> None:
    """Run a command, its words on stderr."""
    subprocess.run([*COMMAND, *map(str, parts)], check=True, stdout=sys.stderr)


def report(encoder: str, found: list[tuple[float, float, float]]) -> None:
    """Print a row: means, the single seeds, and the mean difference with its deviation."""
    pretrained, scratch, majority = (list(values) for values in zip(*found, strict=True))
    gains = [one - other for one, other in zip(pretrained, scratch, strict=True)]
    spread = f" ± {statistics.stdev(gains):.1f}" if len(gains) > 1 else ""
    cells = [mean_of(pretrained), mean_of(scratch), f"{statistics.mean(gains):+.1f}{spread}"]
    print(f"| {encoder} | {' | '.join(cells)} | {majority[0]:.1f} |", flush=True)


def mean_of(values: list[float]) -> str:
    """Return the mean, its standard deviation, and the values."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread} ({', '.join(f'{value:.1f}' for value in values)})"


if __name__ == "__main__":
    main()
