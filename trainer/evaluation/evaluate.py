"""How good a run is on labelled samples it did not learn from, beside what guessing would reach."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.format.layout import PLAN_NAME
from vfm.shards.format.manifest import read_manifest
from vfm.shards.format.plan import PlanMissingError, read_plan
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.wording import counted
from vfm.trainer import methods
from vfm.trainer.data.labels import with_labels
from vfm.trainer.data.stream import num_workers
from vfm.trainer.distributed import World, join
from vfm.trainer.engine.checkpoint import Checkpoint
from vfm.trainer.engine.inference import Inference
from vfm.trainer.engine.opening import where
from vfm.trainer.evaluation.probe import (
    TRAIN_SPLIT,
    learned_samples,
    score_probe,
    told_of_choice,
    train_probe,
)
from vfm.trainer.evaluation.report import write_report
from vfm.trainer.evaluation.result import EvaluateOptions, Evaluation, ProbeResult, scored
from vfm.trainer.evaluation.score import EvaluatedRun, score_neighbours, score_views
from vfm.trainer.evaluation.views import seen_as
from vfm.trainer.recipes.columns import resolve_columns, with_columns
from vfm.trainer.recipes.probe import PROBES
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.requirements import fit_to_data
from vfm.trainer.runs.folder import (
    RunOptions,
    check_average,
    check_columns,
    newest_checkpoint,
    recipe_of,
    timed,
)
from vfm.trainer.threads import cpu_threads


def evaluate_all(
    runs: Sequence[Path], *, data: Path, how: EvaluateOptions, options: RunOptions
) -> list[Evaluation]:
    """Evaluate the newest checkpoint of each run, on the same samples.

    A protocol that is a probe trains it first, in a folder of its name in the run's; see `train_probe`.
    Under torchrun the ranks share the samples and rank 0 writes each run's report into its folder, see
    `write_report`; every rank returns all results.

    Raises:
        UsageError: no checkpoint, no such split, no labels, other classes or codes than the run's.
        DamageError: stored bytes are not what was written.
        ProbeStoppedError: a signal stopped the training of a probe.
    """
    if how.protocol in PROBES and how.split == TRAIN_SPLIT:
        raise UsageError(f"The probe learns from split {TRAIN_SPLIT} itself: choose another --split.")
    with cpu_threads(options.num_threads), join(options.device) as world:
        return [_evaluate(run, data=data, how=how, options=options, world=world) for run in runs]


def evaluate(run: Path, *, data: Path, how: EvaluateOptions, options: RunOptions) -> Evaluation:
    """Evaluate one run, see `evaluate_all`."""
    return evaluate_all([run], data=data, how=how, options=options)[0]


def _evaluate(
    run: Path, *, data: Path, how: EvaluateOptions, options: RunOptions, world: World
) -> Evaluation:
    checkpoint = newest_checkpoint(run, options=options)
    if how.ema:
        check_average(checkpoint, run_folder=run)
    recipe = seen_as(resolve_columns(_for_clips(checkpoint), read_manifest(data)), how.views)
    every = open_dataset(data, columns=recipe.data.columns, select_split=how.split)
    dataset = with_labels(every, say=options.say)
    check_columns(checkpoint.state["columns"], path=checkpoint.path, recipe=recipe, dataset=dataset)
    step, state = checkpoint.step, checkpoint.average() if how.ema else checkpoint.model()
    if how.protocol in PROBES:
        checkpoint = train_probe(run, how=how, data=data, options=options, world=world)
        recipe, state = recipe_of(checkpoint), checkpoint.model()
        step = checkpoint.state["origin"]["step"]
    recipe, fit = fit_to_data(recipe, dataset, accept=options.accept_data, say=options.say)
    evaluated = EvaluatedRun(
        recipe=recipe,
        state=state,
        step=checkpoint.step,
        num_clips=how.num_clips,
        num_crops=how.num_crops,
        inference=_inference(world, options=options),
    )
    if how.protocol != "knn":
        _check_head(checkpoint, dataset=dataset, run=run)
    options.say(f"Evaluating {run}, step {step}, on {where(world)}: {_told_of(dataset, how=how)}")
    scores, probed = _scores(evaluated, dataset, checkpoint=checkpoint, how=how, options=options)
    if probed is not None:
        options.say(told_of_choice(probed, split=how.split))
    result = Evaluation(
        run=str(run),
        step=step,
        **asdict(how),
        data=str(data),
        num_unlabelled=len(every) - len(dataset),
        num_missing=_num_missing(every, split=how.split, say=options.say),
        fit=fit,
        probe=probed,
        **scored(scores, dataset),
    )
    if world.is_chief:
        write_report(run, result)
    return result


def _inference(world: World, *, options: RunOptions) -> Inference:
    workers = num_workers(options.num_workers, device=world.device)
    return Inference(world=world, num_workers=workers, progress=options.progress)


def _told_of(dataset: Dataset, *, how: EvaluateOptions) -> str:
    """Return what is counted, in words."""
    return (
        f"{counted(len(dataset), 'sample')} of split {how.split} of {dataset.data}, "
        f"{counted(how.num_clips, 'clip')} in {counted(how.num_crops, 'crop')} each."
    )


def _num_missing(every: Dataset, *, split: str, say: Callable[[str], None]) -> int | None:
    """Return how many sources of a split gave no sample, aloud where there are any."""
    try:
        sources = read_plan(every.data / PLAN_NAME).sources
    except PlanMissingError:
        return None
    wanted = {source.key for source in sources if source.split == split}
    num_missing = len(wanted.difference(every.keys))
    if num_missing:
        say(
            f"{num_missing} of the {len(wanted)} videos of split {split} gave no sample in {every.data}: "
            "what is counted is the rest."
        )
    return num_missing


def _scores(
    evaluated: EvaluatedRun,
    dataset: Dataset,
    *,
    checkpoint: Checkpoint,
    how: EvaluateOptions,
    options: RunOptions,
) -> tuple[Tensor, ProbeResult | None]:
    if how.protocol == "knn":
        bank = _bank(dataset, columns=evaluated.recipe.data.columns, how=how, options=options)
        return score_neighbours(evaluated, dataset, bank=bank), None
    if checkpoint.state["recipe"]["task"] not in PROBES:
        return score_views(evaluated, dataset), None
    return score_probe(evaluated, dataset, taught=learned_samples(checkpoint, data=dataset.data))


def _for_clips(checkpoint: Checkpoint) -> Recipe:
    """Return a checkpoint's recipe for another dataset, of which only the encoder's clips are read."""
    recipe = timed(recipe_of(checkpoint), checkpoint=checkpoint)
    return with_columns(recipe, methods.load(recipe.method).clip_columns(recipe.data.columns))


def _bank(
    dataset: Dataset, *, columns: tuple[str, ...], how: EvaluateOptions, options: RunOptions
) -> Dataset:
    if how.split == TRAIN_SPLIT:
        raise UsageError(f"The neighbours come from split {TRAIN_SPLIT} itself: choose another --split.")
    bank = open_dataset(dataset.data, columns=columns, select_split=TRAIN_SPLIT)
    return with_labels(bank, say=options.say)


def _check_head(checkpoint: Checkpoint, *, dataset: Dataset, run: Path) -> None:
    if checkpoint.state["recipe"]["task"] is None:
        raise UsageError(
            f"{run} has learned no classes: finetune it with `vfm finetune classify DATA --init {run}`, "
            "or evaluate it with --protocol knn, linear or attentive."
        )
    taught = tuple(checkpoint.state["classes"])
    if sorted(taught) == sorted(dataset.classes) and taught != dataset.classes:
        place = next(i for i, label in enumerate(taught) if label != dataset.classes[i])
        raise UsageError(
            f"{run} has the classes of {dataset.data} in another order, class {place} is {taught[place]} "
            f"there and {dataset.classes[place]} here: evaluate it on a dataset with its order."
        )
    if taught != dataset.classes:
        raise UsageError(
            f"{run} tells {', '.join(taught)} apart and {dataset.data} has the classes "
            f"{', '.join(dataset.classes)}: evaluate it on a dataset with its classes."
        )
