"""How good a run is on labelled samples it did not learn from, beside what guessing would reach."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
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
from vfm.trainer.distributed import World, join
from vfm.trainer.engine.checkpoint import Checkpoint
from vfm.trainer.engine.opening import where
from vfm.trainer.evaluation.report import write_report
from vfm.trainer.evaluation.result import EvaluateOptions, Evaluation, Views, scored
from vfm.trainer.evaluation.score import EvaluatedRun, score_neighbours, score_views
from vfm.trainer.recipes.columns import resolve_columns, with_columns
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

BANK_SPLIT = "train"


def evaluate_all(
    runs: Sequence[Path], *, data: Path, how: EvaluateOptions, options: RunOptions
) -> list[Evaluation]:
    """Evaluate the newest checkpoint of each run, on the same samples.

    Under torchrun the ranks share the samples and rank 0 writes each run's report into its folder, see
    `write_report`; every rank returns all results.

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
    if how.ema:
        check_average(checkpoint, run_folder=run)
    recipe = seen_as(resolve_columns(_for_clips(checkpoint), read_manifest(data)), how.views)
    every = open_dataset(data, columns=recipe.data.columns, select_split=how.split)
    dataset = with_labels(every, say=options.say)
    check_columns(checkpoint, recipe=recipe, dataset=dataset)
    recipe, fit = fit_to_data(recipe, dataset, accept=options.accept_data, say=options.say)
    evaluated = EvaluatedRun(
        recipe=recipe,
        state=checkpoint.average() if how.ema else checkpoint.model(),
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
        num_unlabelled=len(every) - len(dataset),
        num_missing=_num_missing(every, split=how.split, say=options.say),
        fit=fit,
        **scored(scores, dataset),
    )
    if world.is_chief:
        write_report(run, result)
    return result


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


def seen_as(recipe: Recipe, views: Views | None) -> Recipe:
    """Return a recipe whose encoder sees frames in another way; None is its own.

    Raises:
        UsageError: it is an encoder that knows no other.
    """
    if views is None:
        return recipe
    if not hasattr(recipe.model, "views"):
        raise UsageError(f"{recipe.name} is no recipe of UMT, which alone has --views: leave it out.")
    return replace(recipe, model=replace(recipe.model, views=views))


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
