"""What a small student of UMT learns on real videos, and whether the bytes of its teacher's features matter.

    python benchmarks/umt/distillation.py LABELS WEIGHTS [--root FOLDER] [--epochs 40] [--seeds 0 1 2]

LABELS is a list with a column `split` (train, val) that `vfm extract` takes, its videos under FOLDER;
WEIGHTS is a file of vit_tiny_patch16_224. Students are umt-tiny (160 px), each pretrained on split train from
features stored in another way, and then frozen. Nearest neighbours (20) and a linear probe (logistic
regression, its decay chosen by five folds of split train) are scored on split val, beside a random student
and the mean of the teacher's own features. --work FOLDER keeps dataset and runs: a stopped benchmark goes on.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vfm.shards.clips import segment_times
from vfm.shards.codecs.scalar import FEATURES
from vfm.shards.pixels.views import apply_view, centre
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.trainer.method import Backbone
from vfm.trainer.methods import umt
from vfm.trainer.models.knn import knn_scores
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.run import pretrain
from vfm.video2token.jobs.extract.extract import extract_sources
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sources.listing import list_sources
from vfm.video2token.sources.lists.reading import ListOptions
from vfm.video2token.target import TargetOptions

TEACHER = "vit_tiny_patch16_224"
STORES = ("fp16", "pq:48", "pq:32", "pq:16")
SIZE_PX, NUM_CLIPS, NUM_NEIGHBOURS = 160, 4, 20
DECAYS = tuple(10.0**power for power in range(-6, 3))


def main() -> None:
    """Make the dataset and its columns, train the students, print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stores", nargs="+", default=list(STORES))
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    with nullcontext(args.work) if args.work else tempfile.TemporaryDirectory() as folder:
        run_all(Path(folder), args)


def run_all(work: Path, args: argparse.Namespace) -> None:
    """Print kNN and probe of teacher, random students, and students of every storage."""
    data = work / "data"
    options = ExtractOptions(sampling="uniform", fps=None, num_frames=16, size_px=SIZE_PX)
    sources = list_sources([args.labels], missing="error", options=ListOptions(root=args.root)).sources
    extract_sources(sources, data, options, num_workers=2)
    for store in args.stores:
        own = {"store": store, "weights": str(args.weights), "crop_px": SIZE_PX}
        tokenize(data, [f"clip:{TEACHER}"], TargetOptions(name=column(store), own=own), accept_data=True)
    print("| features of | kNN % | linear probe % |\n|---|---|---|")
    report("the teacher, mean of tokens", [score(data, teacher_features(data, column(args.stores[0])))])
    recipe = override(
        load_recipe("umt-tiny"), [f"train.epochs={args.epochs}", "data.split=train", *args.settings]
    )
    drawn = [student_features(data, build_student(data, seeded(recipe, seed))) for seed in args.seeds]
    report("a random student", [score(data, features) for features in drawn])
    for store in args.stores:
        found = [score(data, trained(work, recipe, store=store, seed=seed)) for seed in args.seeds]
        report(f"a student of {store}", found)


def column(store: str) -> str:
    """Return the name of a column, behind its kind."""
    return store.replace(":", "")


def seeded(recipe: Recipe, seed: int) -> Recipe:
    """Return a recipe whose draws are those of a seed, its clips of stored frames one after the other."""
    found: Recipe = override(recipe, [f"train.seed={seed}", "data.stride=1"])
    return found


def build_student(data: Path, recipe: Recipe) -> Backbone:
    """Return a student with its first weights."""
    return umt.build_backbone(recipe, open_dataset(data))


def trained(work: Path, recipe: Recipe, *, store: str, seed: int) -> Tensor:
    """Return the features of a student, trained unless its run is there."""
    data, out = work / "data", work / "runs" / f"{column(store)}-{seed}"
    recipe = override(recipe, [f"data.columns=frames,clip.{column(store)}", f"train.seed={seed}"])
    options = RunOptions(accept_data=True, say=print)
    outcome = pretrain(recipe, data=data, out=out, options=options)
    if outcome.signal:
        raise SystemExit(128 + outcome.signal)  # half a run is no result; --work goes on with it
    if outcome.record:
        print(f"<!-- {store}, seed {seed}: loss {outcome.record['loss']:.4f} -->", flush=True)
    backbone = build_student(data, seeded(recipe, seed))
    backbone.load_pretrained(newest_checkpoint(out, options=options).model())
    return student_features(data, backbone)


def student_features(data: Path, backbone: Backbone) -> Tensor:
    """Return the mean over clips of what a frozen student says of every video, [N, D]."""
    dataset = open_dataset(data)
    backbone.eval()

    def look(times: list[int], index: int) -> Tensor:
        clip = apply_view(np.stack(dataset.frames(index, times)), centre(SIZE_PX))
        return backbone.features({"clip": torch.from_numpy(clip)[None]})[0]

    return every_clip(dataset, look)


def teacher_features(data: Path, name: str) -> Tensor:
    """Return the mean over clips, frames and tokens of the teacher's last level, [N, D]."""
    dataset = open_dataset(data, columns=("frames", f"clip.{name}"))

    def look(times: list[int], index: int) -> Tensor:
        stored = dataset.array(index, f"clip.{name}", FEATURES)[0, times]
        return torch.from_numpy(np.asarray(stored[..., -1, :], np.float32)).flatten(0, -2).mean(0)

    return every_clip(dataset, look)


def every_clip(dataset: Dataset, look: Callable[[list[int], int], Tensor]) -> Tensor:
    """Return the mean of what is said of several clips of every video."""
    rows = []
    with torch.inference_mode():
        for index in range(len(dataset)):
            rng = np.random.default_rng(0)
            num_frames = int(dataset.num_frames[index])
            clips = [segment_times(num_frames, clip_len=8, rng=rng).tolist() for _ in range(NUM_CLIPS)]
            rows.append(torch.stack([look(times, index) for times in clips]).mean(0))
    return torch.stack(rows)


def score(data: Path, features: Tensor) -> tuple[float, float]:
    """Return the share of split val that nearest neighbours and a linear probe get right."""
    parts = {name: open_dataset(data, select_split=name) for name in ("train", "val")}
    places = {key: place for place, key in enumerate(open_dataset(data).keys)}
    inputs = {name: features[[places[key] for key in part.keys]].clone() for name, part in parts.items()}
    labels = {name: torch.from_numpy(np.asarray(part.class_indices)) for name, part in parts.items()}
    votes = knn_scores(
        inputs["val"],
        bank_ND=inputs["train"],
        labels_N=labels["train"],
        num_classes=len(parts["train"].classes),
        num_neighbours=NUM_NEIGHBOURS,
    )
    mean, deviation = inputs["train"].mean(0), inputs["train"].std(0) + 1e-6
    scaled = {name: (one - mean) / deviation for name, one in inputs.items()}
    decay = best_decay(scaled["train"], labels["train"])
    said = probe(scaled["train"], labels["train"], decay=decay)(scaled["val"])
    return right(votes, labels["val"]), right(said, labels["val"])


def best_decay(inputs: Tensor, labels: Tensor) -> float:
    """Return the decay of the probe that does best on five folds."""
    folds = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0)) % 5

    def of(decay: float) -> float:
        scores = [
            right(
                probe(inputs[folds != fold], labels[folds != fold], decay=decay)(inputs[folds == fold]),
                labels[folds == fold],
            )
            for fold in range(5)
        ]
        return statistics.mean(scores)

    return max(DECAYS, key=of)


def probe(inputs: Tensor, labels: Tensor, *, decay: float) -> Callable[[Tensor], Tensor]:
    """Return a logistic regression, fitted by L-BFGS."""
    layer = torch.nn.Linear(inputs.shape[1], int(labels.max()) + 1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(inputs), labels) + decay * layer.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch leaves it so
    return lambda found: layer(found).detach()


def right(scores: Tensor, labels: Tensor) -> float:
    """Return how many percent are right."""
    return 100 * float((scores.argmax(1) == labels).double().mean())


def report(name: str, found: list[tuple[float, float]]) -> None:
    """Print a row: means, and the single seeds."""
    cells = []
    for values in zip(*found, strict=True):
        single = ", ".join(f"{value:.1f}" for value in values)
        cells.append(f"{statistics.mean(values):.1f} ({single})" if len(values) > 1 else single)
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
