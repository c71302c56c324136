"""How good weights are on labelled samples they did not learn from, beside what guessing would reach."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.splits import ALL, TRAIN
from vfm.shards.wording import counted
from vfm.trainer import methods
from vfm.trainer.data.labels import with_labels
from vfm.trainer.distributed import World, join
from vfm.trainer.engine.opening import where
from vfm.trainer.evaluation.missing import num_missing, of_split
from vfm.trainer.evaluation.probe import (
    learned_samples,
    probe_folder,
    score_probe,
    told_of_choice,
    train_probe,
)
from vfm.trainer.evaluation.report import check_place, write_report
from vfm.trainer.evaluation.result import EvaluateOptions, Evaluation, ProbeResult, scored
from vfm.trainer.evaluation.score import Evaluated, inference_of, score_neighbours, score_views
from vfm.trainer.evaluation.trained_on import count_trained_on
from vfm.trainer.evaluation.views import seen_as
from vfm.trainer.recipes.columns import resolve_columns, with_columns
from vfm.trainer.recipes.probe import PROBES
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.requirements import fit_to_data
from vfm.trainer.recipes.retrieve import RetrieveConfig
from vfm.trainer.runs.class_names import check_same_classes
from vfm.trainer.runs.folder import RunOptions, recipe_of
from vfm.trainer.runs.initial_weights import InitialWeights, from_path
from vfm.trainer.threads import cpu_threads


def evaluate_all(
    paths: Sequence[Path], *, data: Path, how: EvaluateOptions, options: RunOptions
) -> list[Evaluation]:
    """Evaluate the newest checkpoint of each run, and each file or folder of weights, on the same samples.

    A protocol that is a probe trains it first, see `train_probe`. Under torchrun the ranks share the samples
    and rank 0 writes the reports, see `write_report`; every rank returns all results.

    Raises:
        UsageError: no weights, no such split, no labels, other classes or codes than the weights are of.
        MachineError: a report cannot be written.
        DamageError: stored bytes are not what was written.
        ProbeStoppedError: a signal stopped the training of a probe.
    """
    if how.protocol != "multiview":
        _check_taught(data, how=how)
    with cpu_threads(options.num_threads), join(options.device) as world:
        return [_evaluate(path, data=data, how=how, options=options, world=world) for path in paths]


def evaluate(path: Path, *, data: Path, how: EvaluateOptions, options: RunOptions) -> Evaluation:
    """Evaluate one run, file or folder, see `evaluate_all`."""
    return evaluate_all([path], data=data, how=how, options=options)[0]


def _evaluate(
    path: Path, *, data: Path, how: EvaluateOptions, options: RunOptions, world: World
) -> Evaluation:
    start = _start(path, how=how, options=options)
    recipe = seen_as(resolve_columns(_for_clips(start.recipe), read_manifest(data)), how.views)
    every = open_dataset(data, columns=recipe.data.columns, select_split=how.split)
    dataset = with_labels(every, say=options.say)
    start.check_columns(recipe, dataset, say=options.say)
    counted = replace(start, recipe=recipe)
    if how.protocol in PROBES:
        folder = probe_folder(path, how=how)
        trained = train_probe(start, folder=folder, how=how, data=data, options=options, world=world)
        counted = InitialWeights(recipe=recipe_of(trained), checkpoint=trained)
    recipe, fit = fit_to_data(counted.recipe, dataset, accept=options.accept_data, say=options.say)
    if how.protocol != "knn":
        _check_head(counted, dataset=dataset, path=path)
    evaluated = Evaluated(
        recipe=recipe,
        state=counted.weights(),
        num_clips=how.num_clips,
        num_crops=how.num_crops,
        inference=inference_of(world, options=options),
    )
    step = "" if start.step is None else f", step {start.step},"
    options.say(f"Evaluating {path}{step} on {where(world)}: {_told_of(dataset, how=how)}")
    num_trained_on = count_trained_on(start, dataset, path=path, split=how.split, say=options.say)
    scores, probed = _scores(evaluated, dataset, start=counted, how=how, options=options)
    if probed is not None:
        options.say(told_of_choice(probed, split=how.split))
    result = Evaluation(
        run=str(path),
        step=start.step,
        **asdict(how),
        data=str(data),
        num_unlabelled=len(every) - len(dataset),
        num_missing=num_missing(every, split=how.split, say=options.say),
        num_trained_on=num_trained_on,
        fit=fit,
        probe=probed,
        **scored(scores, dataset),
    )
    if world.is_chief:
        write_report(path, result)
    return result


def _told_of(dataset: Dataset, *, how: EvaluateOptions) -> str:
    """Return what is counted, in words."""
    return (
        f"{counted(len(dataset), 'sample')}{of_split(how.split)} of {dataset.data}, "
        f"{counted(how.num_clips, 'clip')} in {counted(how.num_crops, 'crop')} each."
    )


def _scores(
    evaluated: Evaluated,
    dataset: Dataset,
    *,
    start: InitialWeights,
    how: EvaluateOptions,
    options: RunOptions,
) -> tuple[Tensor, ProbeResult | None]:
    if how.protocol == "knn":
        bank = _bank(dataset, columns=evaluated.recipe.data.columns, options=options)
        return score_neighbours(evaluated, dataset, bank=bank), None
    if evaluated.recipe.task not in PROBES:
        return score_views(evaluated, dataset), None
    assert start.checkpoint is not None, "no file holds a probe"
    taught = learned_samples(start.checkpoint, data=dataset.data)
    return score_probe(evaluated, dataset, taught=taught, step=start.checkpoint.step)


def _for_clips(recipe: Recipe) -> Recipe:
    """Return a recipe for another dataset, of which only the encoder's clips are read."""
    return with_columns(recipe, methods.load(recipe.method).clip_columns(recipe.data.columns))


def _bank(dataset: Dataset, *, columns: tuple[str, ...], options: RunOptions) -> Dataset:
    bank = open_dataset(dataset.data, columns=columns, select_split=TRAIN)
    return with_labels(bank, say=options.say)


def _check_taught(data: Path, *, how: EvaluateOptions) -> None:
    """Refuse a protocol that learns from split train where there is none, or where it is counted on."""
    if TRAIN not in open_dataset(data, columns=()).splits:
        raise UsageError(
            f"{data} has no split {TRAIN}, which --protocol {how.protocol} learns from: name splits in a "
            "list with the columns path, label and split, and extract that list into a new dataset; "
            f"--protocol multiview needs none, with --split {ALL}."
        )
    if how.split in (TRAIN, ALL):
        learner = "neighbours come" if how.protocol == "knn" else "probe learns"
        among = "" if how.split == TRAIN else f", which is among {ALL}"
        raise UsageError(f"The {learner} from split {TRAIN} itself{among}: choose another --split.")


def _start(path: Path, *, how: EvaluateOptions, options: RunOptions) -> InitialWeights:
    start = from_path(path, options=options, averaged=how.ema)
    if how.protocol == "multiview" and isinstance(start.recipe.objective, RetrieveConfig):
        own = "" if start.is_encoder else "retrieval, "
        raise UsageError(
            f"{path} has learned to find videos by captions, and no classes: evaluate it with --protocol "
            f"{own}knn, linear or attentive."
        )
    check_place(path, how)
    return start


def _check_head(start: InitialWeights, *, dataset: Dataset, path: Path) -> None:
    if not start.has_head:
        raise UsageError(
            f"{path} has learned no classes: finetune it with `vfm finetune classify DATA --init {path}`, "
            "or evaluate it with --protocol knn, linear or attentive."
        )
    check_same_classes(start, dataset, named=path, use="evaluate it")
