"""How good a run is on labelled samples it did not learn from, beside what guessing would reach."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.io.json import write_json
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.wording import counted
from vfm.trainer import methods
from vfm.trainer.data.labels import majority_rate, sample_list_sha256, with_labels
from vfm.trainer.distributed import World, join
from vfm.trainer.engine.checkpoint import Checkpoint
from vfm.trainer.engine.opening import where
from vfm.trainer.evaluation.score import EvaluatedRun, score_neighbours, score_views
from vfm.trainer.recipes.columns import resolve_columns, with_columns
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.requirements import Fit, fit_to_data
from vfm.trainer.runs.folder import RunOptions, check_columns, newest_checkpoint, recipe_of, timed
from vfm.trainer.threads import cpu_threads

Protocol = Literal["multiview", "knn"]
BANK_SPLIT = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What to evaluate by.

    Attributes:
        protocol: ``multiview`` (a finetuned run's own head) or ``knn`` (neighbours in the train split).
        num_clips: clips of each sample, spread over it.
        num_crops: squares of each clip, from one end of the long side to the other.
        split: which samples to count.
    """

    protocol: Protocol = "multiview"
    num_clips: int = 5
    num_crops: int = 1
    split: str = "val"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What was said of one sample: the class named and its score in 0..1, beside the true class."""

    label: str
    predicted: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The result of one run under one protocol.

    Attributes:
        run: the run's folder.
        step: updates its checkpoint had seen.
        protocol: ``multiview`` or ``knn``.
        num_clips: clips of each sample.
        num_crops: squares of each clip.
        data: the dataset's folder.
        split: the split evaluated.
        accuracy: share of samples whose class was named, 0..1.
        majority_rate: what naming the most frequent class of these samples would reach.
        chance_rate: what drawing a class at random would reach.
        num_samples: samples counted.
        num_unlabelled: samples of the split left out because they have no label.
        fit: how the clips of these samples are.
        sample_list_sha256: of the keys and classes counted; results over equal lists can be compared.
        predictions: by key.
    """

    run: str
    step: int
    protocol: Protocol
    num_clips: int
    num_crops: int
    data: str
    split: str
    accuracy: float
    majority_rate: float
    chance_rate: float
    num_samples: int
    num_unlabelled: int
    fit: Fit
    sample_list_sha256: str
    predictions: dict[str, Prediction]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def evaluate_all(
    runs: Sequence[Path], *, data: Path, how: EvaluateOptions, options: RunOptions
) -> list[Evaluation]:
    """Evaluate the newest checkpoint of each run, on the same samples.

    Under torchrun the ranks share the samples and rank 0 writes ``evaluate-<protocol>.json`` into each run's
    folder; every rank returns all results.

    Raises:
        UsageError: no checkpoint, no such split, no labels, other classes or codes than the run's.
        DamageError: stored bytes are not what was written.
    """
    with cpu_threads(options.num_threads), join(options.device) as world:
        return [_evaluate(run, data=data, how=how, options=options, world=world) for run in runs]


def evaluate(run: Path, *, data: Path, how: EvaluateOptions, options: RunOptions) -> Evaluation:
    """Evaluate one run, see `evaluate_all`."""
    return evaluate_all([run], data=data, how=how, options=options)[0]


def _evaluate(
    run: Path, *, data: Path, how: EvaluateOptions, options: RunOptions, world: World
) -> Evaluation:
    checkpoint = newest_checkpoint(run, options=options)
    recipe = resolve_columns(_for_clips(checkpoint), read_manifest(data))
    every = open_dataset(data, columns=recipe.data.columns, select_split=how.split)
    dataset = with_labels(every, say=options.say)
    check_columns(checkpoint, recipe=recipe, dataset=dataset)
    recipe, fit = fit_to_data(recipe, dataset, accept=options.accept_data, say=options.say)
    evaluated = EvaluatedRun(
        recipe=recipe,
        state=checkpoint.model(),
        num_clips=how.num_clips,
        num_crops=how.num_crops,
        world=world,
        progress=options.progress,
    )
    if how.protocol == "multiview":
        _check_head(checkpoint, dataset=dataset, run=run)
    options.say(
        f"Evaluating {run}, step {checkpoint.step}, on {where(world)}: {counted(len(dataset), 'sample')} of "
        f"split {how.split} of {data}, {counted(how.num_clips, 'clip')} in "
        f"{counted(how.num_crops, 'crop')} each."
    )
    scores = _scores(evaluated, dataset, how=how, options=options)
    result = Evaluation(
        run=str(run),
        step=checkpoint.step,
        **asdict(how),
        data=str(data),
        accuracy=float((scores.argmax(1) == torch.from_numpy(dataset.class_indices)).double().mean()),
        majority_rate=majority_rate(dataset.class_indices),
        chance_rate=1 / len(dataset.classes),
        num_samples=len(dataset),
        num_unlabelled=len(every) - len(dataset),
        fit=fit,
        sample_list_sha256=sample_list_sha256(dataset),
        predictions=_predictions(scores, dataset=dataset),
    )
    if world.is_chief:
        write_json(run / f"evaluate-{how.protocol}.json", result.to_dict())
    return result


def _scores(
    evaluated: EvaluatedRun, dataset: Dataset, *, how: EvaluateOptions, options: RunOptions
) -> Tensor:
    if how.protocol == "multiview":
        return score_views(evaluated, dataset)
    bank = _bank(dataset, columns=evaluated.recipe.data.columns, how=how, options=options)
    return score_neighbours(evaluated, dataset, bank=bank)


def _for_clips(checkpoint: Checkpoint) -> Recipe:
    """Return a checkpoint's recipe for another dataset, of which only the encoder's clips are read."""
    recipe = timed(recipe_of(checkpoint), checkpoint=checkpoint)
    return with_columns(recipe, methods.load(recipe.method).clip_columns(recipe.data.columns))


def _predictions(scores_NC: Tensor, *, dataset: Dataset) -> dict[str, Prediction]:
    best = scores_NC.max(dim=1)
    rows = zip(dataset.class_indices, best.indices.tolist(), best.values.tolist(), strict=True)
    classes = dataset.classes
    return {
        key: Prediction(label=classes[label], predicted=classes[named], score=round(score, 6))
        for key, (label, named, score) in zip(dataset.keys, rows, strict=True)
    }


def _bank(
    dataset: Dataset, *, columns: tuple[str, ...], how: EvaluateOptions, options: RunOptions
) -> Dataset:
    if how.split == BANK_SPLIT:
        raise UsageError(f"The neighbours come from split {BANK_SPLIT} itself: choose another --split.")
    bank = open_dataset(dataset.data, columns=columns, select_split=BANK_SPLIT)
    return with_labels(bank, say=options.say)


def _check_head(checkpoint: Checkpoint, *, dataset: Dataset, run: Path) -> None:
    if checkpoint.state["recipe"]["task"] != "classify":
        raise UsageError(
            f"{run} has learned no classes: finetune it with `vfm finetune classify DATA --init {run}`, "
            "or evaluate it with --protocol knn."
        )
    taught = tuple(checkpoint.state["classes"])
    if taught != dataset.classes:
        raise UsageError(
            f"{run} tells {', '.join(taught)} apart and {dataset.data} has the classes "
            f"{', '.join(dataset.classes)}: evaluate it on a dataset with its classes."
        )
