"""Downstream training: a task's head on a pretrained encoder, or on the same encoder from scratch."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vfm.shards.columns.commands import kind_of
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.shards.reading.mixture import Source
from vfm.shards.wording import counted
from vfm.trainer import methods, tasks
from vfm.trainer.engine.loop import Outcome
from vfm.trainer.method import Method
from vfm.trainer.recipes.columns import TEXT, learns_classes, with_columns
from vfm.trainer.recipes.encoder import EncoderSizes
from vfm.trainer.recipes.probe import PROBES, ProbeName, probing
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.requirements import fit_to_data
from vfm.trainer.recipes.retrieve import RetrieveConfig
from vfm.trainer.recipes.settings import differences, override
from vfm.trainer.registry import load_recipe, open_recipe, recipe_names
from vfm.trainer.runs.class_names import check_same_classes
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import STARTS_FROM, InitialWeights, check_strides
from vfm.trainer.runs.run import run
from vfm.trainer.runs.training_data import open_training_data
from vfm.trainer.tasks.classify.classifier import Classify
from vfm.trainer.tasks.linear.probe import Probe
from vfm.trainer.tasks.retrieve.retrieval import Retrieve

# In the package of a method: whether a pretraining has all that retrieval asks for, by the very same weights.
RETRIEVES_ZERO_SHOT = "RETRIEVES_ZERO_SHOT"


def finetune_recipe(
    task: str, *, start: Recipe, settings: Sequence[str], numbers: str | None = None
) -> Recipe:
    """Return the recipe that teaches an encoder a task: the task's numbers, the encoder's model and clips.

    Clips have as many frames, and as large ones, as the encoder was trained on, unless the task's recipe is
    made for others or the settings say so. A probe's numbers are made for any encoder, see `probing`; it
    takes its frames as the encoder does.

    Args:
        task: what to learn.
        start: the encoder's recipe; one of finetuning gives its own numbers.
        settings: changes, as in `override`.
        numbers: name or file of the finetuning recipe whose numbers to take; unless given, the one that was
            made for the encoder's recipe.

    Raises:
        UsageError: there is no such task, or no recipe of it was made for this encoder.
    """
    if task not in tasks.names():
        raise UsageError(f"Unknown task {task!r}: choose one of {', '.join(tasks.names())}.")
    for probe in PROBES:
        if probe == task:
            return override(_probe_recipe(probe, start=start, numbers=numbers), settings)
    chosen = _task_recipe(task, start=start, numbers=numbers)
    columns = methods.load(start.method).clip_columns(start.data.columns)
    if isinstance(chosen.objective, RetrieveConfig):
        columns = (*columns, *(name for name in chosen.data.columns if kind_of(name) == TEXT))
    data = replace(chosen.data, columns=columns)
    own = list(getattr(start.model, "OF_TRAINING", ()))
    if getattr(chosen.model, "has_own_shape", False):
        own.append("image_px")
    else:
        data = replace(data, clip_len=start.data.clip_len)
    if not data.spans_video:
        data = replace(data, seconds_apart=start.data.seconds_apart, stride=start.data.stride)
    model = replace(_begun(start), **{name: getattr(chosen.model, name) for name in own})
    return override(replace(chosen, model=model, data=data), settings)


def zero_shot_recipe(start: Recipe) -> Recipe | None:
    """Return a recipe to retrieve by the weights of a pretraining; None where its method cannot.

    Clips and captions are as in the pretraining; the method's recipe of finetuning tells how frames are seen.

    Args:
        start: of the pretraining.
    """
    if start.task is not None or not getattr(methods.load(start.method), RETRIEVES_ZERO_SHOT, False):
        return None
    wanted = (start.method, "retrieve")
    chosen = next(each for each in map(load_recipe, recipe_names()) if (each.method, each.task) == wanted)
    goal = start.objective
    read = methods.load(start.method).clip_columns(start.data.columns)
    texts = (name for name in start.data.columns if kind_of(name) == TEXT)
    return replace(
        chosen,
        name=start.name,
        model=start.model,
        data=replace(start.data, columns=(*read, *texts)),
        objective=replace(
            chosen.objective, max_ids=goal.max_ids, captions=goal.captions, temperature=goal.temperature
        ),
    )


def _begun(start: Recipe) -> Any:
    """Return the network of a recipe as that of a run that starts from it."""
    model = start.model
    return model.begun(clip_len=start.data.clip_len) if isinstance(model, EncoderSizes) else model


def _probe_recipe(probe: ProbeName, *, start: Recipe, numbers: str | None) -> Recipe:
    if numbers is not None:
        raise UsageError(
            f"The numbers of a probe come from no recipe, and {numbers} was given: leave out --recipe, and "
            "change single numbers with --set."
        )
    columns = methods.load(start.method).clip_columns(start.data.columns)
    return probing(replace(with_columns(start, columns), model=_begun(start)), probe)


def _task_recipe(task: str, *, start: Recipe, numbers: str | None) -> Recipe:
    """Return the recipe whose numbers are taken; see `finetune_recipe`."""
    wanted = (start.method, task)
    if numbers is not None:
        chosen = open_recipe(numbers)
        if (chosen.method, chosen.task) == wanted:
            return chosen
    name = numbers or f"{start.name.removesuffix(f'-{task}')}-{task}"
    fitting = {
        recipe.name: recipe
        for recipe in map(load_recipe, recipe_names())
        if (recipe.method, recipe.task) == wanted
    }
    if not fitting and (between := _pretrained_between(start, task=task)):
        more = f" (or with {', '.join(between[1:])})" if between[1:] else ""
        raise UsageError(
            f"{start.name} has not learned what it takes to {task}: pretrain from it first, `vfm pretrain "
            f"{between[0]} DATA --init RUN`{more}, and finetune that run."
        )
    if numbers is not None or name not in fitting:
        others = f"choose one with --recipe {' or '.join(fitting)}" if fitting else "`vfm recipes` lists all"
        what = f"Recipe {name} does not exist" if numbers is None else f"Recipe {name} does not fit"
        raise UsageError(
            f"{what}; it would finetune {start.name} to {task}, and numbers made for another encoder are "
            f"used only when named: {others}."
        )
    return fitting[name]


def _pretrained_between(start: Recipe, *, task: str) -> list[str]:
    """Return recipes that go on pretraining an encoder and lead to a task, its size first."""
    if start.task is not None:
        return []
    recipes = [load_recipe(name) for name in recipe_names()]
    of_task = {recipe.method for recipe in recipes if recipe.task == task}
    names = [
        recipe.name
        for recipe in recipes
        if (recipe.task, recipe.method in of_task) == (None, True)
        and start.method in getattr(methods.load(recipe.method), STARTS_FROM, ())
    ]
    size = start.name.rpartition("-")[2]
    return sorted(names, key=lambda name: name.rpartition("-")[2] != size)


def told_of_encoder(recipe: Recipe, *, numbers: str, settings: Sequence[str]) -> str | None:
    """Return a sentence where a recipe that was given in a file is not followed, as the encoder decides.

    Args:
        recipe: of `finetune_recipe`.
        numbers: name or file of the finetuning recipe that was given.
        settings: changes to it.
    """
    given = open_recipe(numbers)
    followed = with_columns(override(given, settings), recipe.data.columns)
    if followed.data.stride is None:  # it was left to the data, which the encoder's run has asked
        followed = replace(followed, data=replace(followed.data, stride=recipe.data.stride))
    if hasattr(recipe.model, "pretrained_grid"):  # told by `told_of_shape`
        grid = recipe.model.pretrained_grid
        followed = replace(followed, model=replace(followed.model, pretrained_grid=grid))
    if not (found := differences(followed, recipe)):
        return None
    return f"As the encoder has it, not as {numbers} says: {'; '.join(found)}."


def told_of_shape(recipe: Recipe, *, dataset: Dataset, start: InitialWeights) -> str | None:
    """Return a sentence where clips have another shape than those that the encoder was trained on."""
    if start.path is None:
        return None
    columns = start.columns.values()
    before = _clips(start.recipe, options=[column["options"] for column in columns])
    options = [dataset.manifest.columns[name].options for name in recipe.data.columns]
    if (now := _clips(recipe, options=options)) == before:
        return None
    told = f"The encoder was trained on {before} and is finetuned on {now}"
    change = getattr(recipe.model, "RESHAPING", None)
    return f"{told}: {change}." if change else f"{told}."


def told_of_views(recipe: Recipe, dataset: Dataset) -> str | None:
    """Return a sentence where a recipe draws from stored views and a column holds one, or holds others."""
    augment = getattr(recipe.objective, "augment", None)  # probes have none
    views = [dataset.manifest.columns[name].options.get("views", []) for name in recipe.data.columns]
    num_views = min(map(len, views), default=0)
    if augment is None or num_views == 0:
        return None
    key, which = "objective.augment.stored_views", augment.stored_views
    if which == "first" and num_views > 1:
        return (
            f"Of the {num_views} stored views of a sample the first is learned from: --set {key}=any draws "
            "one whenever a sample is read, unmirrored one of those that are not mirrored."
        )
    if which != "first" and num_views == 1:
        return (
            f"{recipe.name} draws one of 12 stored views whenever a sample is read, and there is one: "
            "`vfm tokenize DATA --target vq:CODEBOOK --views vimpac12 --name NEW` makes them."
        )
    return None


def _clips(recipe: Recipe, *, options: Sequence[Mapping[str, Any]]) -> str:
    """Return the shape of a recipe's clips in words; of which size frames are may be the columns' choice."""
    frames, frame_px = counted(recipe.data.clip_len, "frame"), recipe.model.frame_px
    if frame_px == "any":
        sides_px = [view["crop_px"] for column in options for view in column.get("views", [])]
        return f"{frames} of {sides_px[0]} px" if sides_px else frames
    return f"{frames} of {frame_px} px"


def finetune(
    recipe: Recipe,
    *,
    start: InitialWeights,
    data: Path | Sequence[Source],
    out: Path,
    options: RunOptions,
) -> Outcome:
    """Learn a task on the labelled samples of a dataset, or go on where an earlier call stopped.

    Args:
        recipe: of `finetune_recipe`.
        start: where the encoder's weights come from.
        data: the dataset's folder, or several datasets and their weights.
        out: the run's folder.
        options: device, fallback, and who listens.

    Raises:
        UsageError: no labels, no such split, codes of another codebook than the encoder's, or a head that
            cannot be kept.
        VfmError: see `vfm.trainer.runs.run.pretrain`.
    """
    check_strides(start, recipe=recipe)
    recipe, dataset = open_training_data(recipe, data, say=options.say)
    start.check_columns(recipe, dataset, say=options.say)
    if start.keeps_head:
        _check_kept(start, recipe=recipe, dataset=dataset)
    recipe, fit = fit_to_data(recipe, dataset, accept=options.accept_data, say=options.say)
    if told := told_of_shape(recipe, dataset=dataset, start=start):
        options.say(told)
    if told := told_of_views(recipe, dataset):
        options.say(told)

    def build() -> Method:
        task = build_task(recipe, dataset)
        if start.path is not None:
            state = start.weights()
            task.backbone.load_pretrained(state, start=start.recipe)
            if start.keeps_head:
                assert isinstance(task, Classify), "no other task keeps a head"
                task.load_head(state)
        return task

    return run(recipe, dataset=dataset, fit=fit, build=build, out=out, start=start, options=options)


def _check_kept(start: InitialWeights, *, recipe: Recipe, dataset: Dataset) -> None:
    """Refuse a head that is none, or is of other classes, see `check_same_classes`."""
    if not learns_classes(recipe):
        raise UsageError(f"{recipe.name} learns no classes and has no head to keep: leave out --keep-head.")
    if recipe.task in PROBES:
        raise UsageError(f"A {recipe.task} probe begins with heads of its own: leave out --keep-head.")
    if start.path is None or not start.has_head or start.recipe.task in PROBES:
        raise UsageError(f"{start.path} is no classifier whose head could be kept: leave out --keep-head.")
    check_same_classes(start, dataset, named=start.path, use="leave out --keep-head, or finetune it")


def build_task(recipe: Recipe, dataset: Dataset) -> Classify | Probe | Retrieve:
    """Return the task of a recipe, its encoder's weights drawn from the seed."""
    task: Classify | Probe | Retrieve = importlib.import_module(f"{tasks.__name__}.{recipe.task}").build(
        recipe, dataset
    )
    return task
