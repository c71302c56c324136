"""A run's folder: taken, recognised, locked, and trained in until the recipe is done.

RUN/run.json       the recipe, the dataset and the versions it was started with
RUN/checkpoints/   see `vfm.trainer.engine.checkpoint`
RUN/best/          the checkpoint that did best on held-out samples, as in the folder of a run
RUN/log.jsonl      one record per log line
RUN/tb/            the same for TensorBoard
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vfm.shards.errors import UsageError
from vfm.shards.io.json import write_json
from vfm.shards.order import epoch_len
from vfm.shards.progress import NoProgress
from vfm.shards.reading.dataset import Dataset
from vfm.shards.reading.mixture import Source
from vfm.trainer import methods
from vfm.trainer.data.stream import micro_batch_sizes
from vfm.trainer.distributed import join
from vfm.trainer.engine.checkpoint import Checkpoint
from vfm.trainer.engine.loop import Job, Outcome, train
from vfm.trainer.engine.updates.optim import num_updates
from vfm.trainer.engine.updates.precision import resolve_precision
from vfm.trainer.method import Method
from vfm.trainer.online_teacher import OpenTeacher
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.requirements import Fit, fit_to_data
from vfm.trainer.recipes.settings import to_dict
from vfm.trainer.runs.extension import EXTENDED
from vfm.trainer.runs.folder import (
    RUN_NAME,
    RunFolder,
    RunOptions,
    columns_of,
    silent,
    versions,
)
from vfm.trainer.runs.initial_weights import InitialWeights, check_pretrained
from vfm.trainer.runs.training_data import open_training_data
from vfm.trainer.runs.validation import validation_of
from vfm.trainer.threads import cpu_threads
from vfm.trainer.video_text.model import StartsFromBert
from vfm.trainer.weights.bert import PretrainedBert


def pretrain(
    recipe: Recipe,
    *,
    start: InitialWeights | None = None,
    data: Path | Sequence[Source],
    out: Path,
    options: RunOptions,
    open_teacher: OpenTeacher | None = None,
) -> Outcome:
    """Pretrain by a recipe on a dataset, or go on where an earlier call with the same arguments stopped.

    Args:
        recipe: what to learn, and how.
        start: where the weights come from; None draws them.
        data: the dataset's folder, or several datasets and their weights.
        out: the run's folder.
        options: device, fallback, and who listens.
        open_teacher: makes a teacher that looks at every clip, for recipes that want one in the loop.

    Raises:
        UsageError: the dataset lacks what the recipe reads, ``out`` holds something else, or the weights to
            start from are of another method, of other sizes or of other columns.
        MachineError: another job trains in ``out``, or the disk refuses.
        DamageError: a checkpoint or a shard is not as it was written.
        DivergenceError: a loss or gradient is not finite.
    """
    if recipe.task is not None:
        raise UsageError(
            f"{recipe.name} is a recipe for finetuning: use `vfm finetune {recipe.task} DATA --init RUN` "
            "with a pretrained run, or give it this recipe by --recipe in place of --init to start from "
            "scratch."
        )
    start = start or InitialWeights(recipe=recipe)
    check_pretrained(start, recipe=recipe)
    recipe, dataset = open_training_data(recipe, data, say=options.say)
    start.check_columns(recipe, dataset, say=options.say)
    recipe, fit = fit_to_data(recipe, dataset, accept=options.accept_data, say=options.say)

    def build() -> Method:
        method = methods.load(recipe.method).build(recipe, dataset, open_teacher=open_teacher)
        if start.path is not None:
            method.load_pretrained(start.weights())
        if start.bert is not None and (told := _load_bert(start.bert, method, recipe=recipe)):
            options.say(told)
        return method

    return run(recipe, dataset=dataset, fit=fit, build=build, out=out, start=start, options=options)


def _load_bert(bert: PretrainedBert, method: Method, *, recipe: Recipe) -> str:
    """Return the sentence that tells what the file has nothing of; empty where it has everything."""
    if not isinstance(method, StartsFromBert):
        raise UsageError(f"{recipe.name} reads no captions, and has no BERT: leave out --init-text.")
    absent = bert.load(method.bert_parts, recipe=recipe)
    return f"{bert.path} has no {', '.join(absent)}*, which begins anew." if absent else ""


def run(  # noqa: PLR0913 (keyword-only)
    recipe: Recipe,
    *,
    dataset: Dataset,
    fit: Fit,
    build: Callable[[], Method],
    out: Path,
    start: InitialWeights,
    options: RunOptions,
) -> Outcome:
    """Train what ``build`` makes in the folder ``out``, resuming what is there.

    Args:
        recipe: with its columns and its stride resolved.
        dataset: what to learn from.
        fit: how its clips are, kept with the run.
        build: makes the method with its first weights.
        out: the run's folder, made when it does not exist.
        start: where the first weights come from.
        options: device, fallback, and who listens.
    """
    # What can be refused without touching the folder is refused first.
    start.check_apart(out)
    num_samples = epoch_len(dataset.shares, batch_size=recipe.train.batch_size)
    num_updates(recipe.train, num_samples=num_samples)
    method = build()
    with cpu_threads(options.num_threads), join(options.device) as world, ExitStack() as held:
        micro_batch_sizes(recipe.train, world_size=world.size)
        recipe = resolve_precision(recipe, device=world.device)
        identity = _identity(recipe, dataset, method=method, start=start, fit=fit)
        say = options.say if world.is_chief else silent
        folder = RunFolder(
            out=out, recipe=recipe, num_samples=num_samples, identity=identity, options=options
        )
        resume = folder.open(world, held=held)
        if told := _beginning(resume, start=start, recipe=recipe, out=out):
            say(told)
        if resume is not None and EXTENDED in resume.state:
            identity[EXTENDED] = resume.state[EXTENDED]
        identity["versions"] = versions()
        if world.is_chief:
            write_json(out / RUN_NAME, {**identity, "data": _told_of(dataset)})
        job = Job(
            recipe=recipe,
            method=method,
            dataset=dataset,
            world=world,
            out=out,
            identity=identity,
            say=say,
            progress=options.progress if world.is_chief else NoProgress(),
            validation=validation_of(recipe, dataset, method=method, world=world, say=say),
        )
        return train(job, resume=resume)


def _beginning(resume: Checkpoint | None, *, start: InitialWeights, recipe: Recipe, out: Path) -> str:
    """Return the sentence that tells where a run begins; empty at its end, and with new weights."""
    if resume is None:
        return start.told(recipe)
    num_steps = resume.state["num_steps"]
    return f"Going on from step {resume.step} of {num_steps} in {out}." if resume.step < num_steps else ""


def _told_of(dataset: Dataset) -> str | dict[str, int]:
    """Return the folder of a dataset; of a mixture each folder, and the samples it gives to an epoch."""
    if len(dataset.parts) == 1:
        return str(dataset.data)
    drawn = zip(dataset.parts, dataset.shares, strict=True)
    return {str(part.data): share.per_epoch for part, share in drawn}


def _identity(
    recipe: Recipe, dataset: Dataset, *, method: Method, start: InitialWeights, fit: Fit
) -> dict[str, Any]:
    """Return what tells a run from another, as JSON values."""
    parts = [{name: part.tars_sha256(name) for name in recipe.data.columns} for part in dataset.parts]
    return {
        "recipe": to_dict(recipe),
        "dataset": dataset.fingerprint,
        "classes": list(dataset.classes),
        "columns": columns_of(recipe, dataset),
        **({"parts": parts} if len(parts) > 1 else {}),
        "method": dict(method.learned_from),
        "origin": start.origin,
        "fit": fit.to_dict(),
    }
