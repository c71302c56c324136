"""The folder of a run: its recipe, its lock, its checkpoints."""

import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vfm
from vfm.shards.columns.commands import kind_of
from vfm.shards.columns.options import ENLARGEMENT
from vfm.shards.errors import DamageError, MachineError, UsageError, VfmError
from vfm.shards.format.layout import FRAMES
from vfm.shards.io.lock import held_names, hold
from vfm.shards.progress import NoProgress, Progress
from vfm.shards.reading.dataset import Dataset
from vfm.shards.wording import listed
from vfm.trainer.distributed import World, from_chief
from vfm.trainer.engine.checkpoint import Checkpoint, newest, read
from vfm.trainer.engine.checkpoint_state import STATE
from vfm.trainer.engine.loop import CHECKPOINTS_FOLDER
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import differences
from vfm.trainer.recipes.values import OtherVersionError
from vfm.trainer.registry import from_dict
from vfm.trainer.runs.extension import Extension, is_length, nothing_to_extend

RUN_NAME = "run.json"
_HARMLESS = {"views", ENLARGEMENT, "vocabulary", "vocabulary_sha256"}  # the vocabulary is tokenizer_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run, apart from what.

    Attributes:
        device: ``auto``, ``cpu`` or ``cuda``.
        num_threads: of torch on a CPU; None leaves it its own choice.
        num_workers: loader processes of each rank that evaluates; None chooses by device, and training has
            its recipe's.
        fall_back: whether a damaged newest checkpoint is passed over, aloud, for the one before it.
        accept_data: whether to go on, aloud, with a dataset that is not as the recipe needs it.
        extend: whether a run whose recipe is longer now goes on under it.
        elsewhere: what to do where the run's folder cannot be trained in, in words.
        say: takes one sentence for people.
        progress: receives progress updates.
    """

    device: str = "auto"
    num_threads: int | None = None
    num_workers: int | None = None
    fall_back: bool = True
    accept_data: bool = False
    extend: bool = False
    elsewhere: str = "choose another --out"
    say: Callable[[str], None]
    progress: Progress = field(default_factory=NoProgress)


def versions() -> dict[str, str]:
    """Return the versions that a run depends on."""
    return {
        "vfm": vfm.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def newest_checkpoint(run_folder: Path, *, options: RunOptions) -> Checkpoint:
    """Return the newest sound checkpoint of a run.

    Raises:
        UsageError: there is no run, or it has no checkpoint yet.
        DamageError: see `vfm.trainer.engine.checkpoint.newest`.
    """
    found = newest(run_folder / CHECKPOINTS_FOLDER, fall_back=options.fall_back, say=options.say)
    if found is None:
        raise UsageError(f"{run_folder} holds no checkpoint: make one with `vfm pretrain` or `vfm finetune`.")
    return found


def check_average(checkpoint: Checkpoint, *, run_folder: Path) -> None:
    """Refuse a run that keeps no average of its weights.

    Raises:
        UsageError: it keeps none.
    """
    if not checkpoint.has_average:
        raise UsageError(
            f"{run_folder} keeps no average of its weights, as runs with optim.ema_decay do: leave out --ema."
        )


def recipe_of(checkpoint: Checkpoint) -> Recipe:
    """Return the recipe that a checkpoint was trained by.

    Raises:
        UsageError: another version of vfm wrote it.
        DamageError: no version did.
    """
    try:
        return from_dict(checkpoint.state["recipe"])
    except OtherVersionError:
        raise
    except UsageError as error:
        raise DamageError(
            f"The recipe in {checkpoint.path / STATE} is not one that vfm wrote ({str(error).rstrip('.')}): "
            "restore it from a copy."
        ) from None


def timed(recipe: Recipe, *, checkpoint: Checkpoint) -> Recipe:
    """Return a checkpoint's recipe for another dataset: frames as far apart in time, at whatever rate."""
    seconds_apart = checkpoint.state.get("fit", {}).get("seconds_apart")  # absent before 0.2
    if seconds_apart is None:
        return recipe
    return replace(recipe, data=replace(recipe.data, seconds_apart=seconds_apart, stride=None))


def columns_of(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """Return what tells the columns that a run learns from, as they are now, from others of the same name."""
    columns = dataset.manifest.columns
    return {
        name: {"options": columns[name].options, "tars_sha256": dataset.tars_sha256(name)}
        for name in recipe.data.columns
    }


def check_columns(learned_from: Mapping[str, Any], *, path: Path, recipe: Recipe, dataset: Dataset) -> None:
    """Refuse a dataset whose columns were made otherwise than those that weights were trained on.

    Args:
        learned_from: those columns and their options, as `columns_of` gives them.
        path: of the weights.
        recipe: whose columns are read now.
        dataset: that has them.

    Raises:
        UsageError: for instance the codes of another codebook, which are other words for other things.
    """
    learned = {kind_of(name): column["options"] for name, column in learned_from.items()}
    trained_on = " and ".join(learned_from)
    for name in recipe.data.columns:
        kind = dataset.manifest.columns[name].kind
        if kind == FRAMES:
            continue  # pixels mean the same in every dataset
        if kind not in learned:
            raise UsageError(
                f"{path} was trained on {trained_on}, not on a column of the kind of {name}: "
                "change it with `--set data.columns=...`."
            )
        # What a code stands for depends neither on the crop it was seen in nor on how far that was enlarged;
        # and a vocabulary is the same whatever the file is called that it was read from.
        differing = _differing(learned[kind], dataset.manifest.columns[name].options) - _HARMLESS
        if differing:
            raise UsageError(
                f"Column {name} of {dataset} differs from the one that {path} was trained on "
                f"in {', '.join(sorted(differing))}: make the column with the same `--target` first."
            )


def _differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {key for key in {**one, **other} if one.get(key) != other.get(key)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """A run's folder, about to be trained in.

    Attributes:
        out: the folder.
        recipe: to train by.
        num_samples: to learn from.
        identity: what tells the run from another.
        options: fallback, extension, and who listens.
    """

    out: Path
    recipe: Recipe
    num_samples: int
    identity: dict[str, Any]
    options: RunOptions

    def open(self, world: World, *, held: ExitStack) -> Checkpoint | None:
        """Lock the folder for as long as ``held`` and return the checkpoint to go on from, on every rank.

        Rank 0 does both for all. What stops it stops the others too, which would wait for it otherwise.
        """
        path: Path | None = None
        fault: Exception | None = None
        if world.is_chief:
            try:
                held.enter_context(self._lock())
                path = self._newest()
            except (VfmError, OSError) as error:
                fault = error
        path, fault = from_chief((path, fault), world=world)
        if fault is not None:
            raise fault
        return None if path is None else read(path)

    def _lock(self) -> AbstractContextManager[None]:
        if self.out.exists() and not self.out.is_dir():
            raise UsageError(f"{self.out} is a file: give --out a folder, new or holding a run.")
        names = held_names(self.out) if self.out.is_dir() else set()
        if names and RUN_NAME not in names:
            raise UsageError(f"{self.out} is not empty and holds no run: {self.options.elsewhere}.")
        if self.options.extend and not names:
            raise nothing_to_extend(self.out)  # without making a folder
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(
                f"{self.out} cannot be made ({error.strerror}): choose another --out."
            ) from error
        return hold(self.out)

    def _newest(self) -> Path | None:
        options = self.options
        found = newest(self.out / CHECKPOINTS_FOLDER, fall_back=options.fall_back, say=options.say)
        if found is None:
            if options.extend:
                raise nothing_to_extend(self.out)
            return None
        before = recipe_of(found)
        changed = self._changed(found, before=before)
        extension = Extension(
            out=self.out,
            checkpoint=found,
            before=before,
            after=self.recipe,
            num_samples=self.num_samples,
        )
        if options.extend:
            extension.apply(changed, say=options.say)
        elif changed:
            is_longer = all(map(is_length, changed)) and extension.is_longer
            way = ", add --extend to train it for longer" if is_longer else ""
            raise UsageError(
                f"{self.out} holds a run with other settings ({listed(changed, limit=4, separator='; ')}): "
                f"repeat its settings to go on with it{way}, or {options.elsewhere}."
            )
        return found.path

    def _changed(self, found: Checkpoint, *, before: Recipe) -> list[str]:
        """Return what differs between a checkpoint and what is asked for, as sentences name it."""
        changed = differences(before, self.recipe)
        remade = _remade(found.state["columns"], self.identity["columns"])
        changed += remade
        if found.state["dataset"] != self.identity["dataset"] and not remade:
            changed.append("the samples of the dataset, or their order")
        if found.state["origin"] != self.identity["origin"]:
            in_head = _differing(found.state["origin"], self.identity["origin"]) == {"keeps_head"}
            changed.append("--keep-head" if in_head else "the weights it starts from")
        method = self.identity["method"]
        return changed + sorted(_differing(found.state.get("method", method), method))


def silent(_sentence: str) -> None:
    """Say nothing: another rank talks."""


def _remade(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return which columns are not those that a run began with, and in what."""
    told = []
    for name in before.keys() & now.keys():
        options = sorted(_differing(before[name]["options"], now[name]["options"]))
        tars = before[name]["tars_sha256"], now[name]["tars_sha256"]
        if options:
            told.append(f"column {name}, made with another {', '.join(options)}")
        elif None not in tars and tars[0] != tars[1]:
            told.append(f"the contents of column {name}")
    return sorted(told)
