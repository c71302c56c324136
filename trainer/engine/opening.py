"""What a training says before its first update: what learns from what, where, for how long."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from vfm.shards.reading.dataset import Dataset
from vfm.shards.splits import TRAIN
from vfm.shards.wording import counted
from vfm.trainer.distributed import World
from vfm.trainer.engine.updates.optim import lr_at
from vfm.trainer.recipes.recipe import OptimConfig, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long a run is, and at which rates.

    Attributes:
        num_updates: of the whole run.
        epoch_samples: samples of one epoch.
        optim: rates and warm-up of the run (`OptimConfig.for_run`).
    """

    num_updates: int
    epoch_samples: int
    optim: OptimConfig


def opening(recipe: Recipe, *, method: nn.Module, schedule: Schedule, world: World, log: Path) -> str:
    """Return the sentence that a training begins with.

    Args:
        recipe: with its precision resolved.
        method: what learns.
        schedule: how long, and at which rate.
        world: where it computes.
        log: its log, one JSON object a line.
    """
    config = recipe.train
    learning = sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
    epochs = schedule.num_updates * config.batch_size / schedule.epoch_samples
    return (
        f"Training {recipe.name}, {_amount(learning)} parameters, in {config.precision} on {where(world)}: "
        f"{counted(schedule.num_updates, 'update')} of {counted(config.batch_size, 'sample')}, "
        f"{'1 epoch' if epochs == 1 else f'{epochs:.4g} epochs'} of {schedule.epoch_samples}; "
        f"the log is {log}."
    )


def doubts(recipe: Recipe, *, dataset: Dataset, schedule: Schedule) -> Iterator[str]:
    """Yield what of a training is hardly meant, in sentences.

    Args:
        recipe: what is trained by.
        dataset: what is learned from.
        schedule: how long, and at which rate.
    """
    if schedule.optim.warmup >= schedule.num_updates:
        yield _told_of_warmup(recipe, schedule=schedule)
    others = sorted({str(split) for split in dataset.splits} - {TRAIN, ""})
    if recipe.task is None and recipe.data.split is None and TRAIN in dataset.splits and others:
        yield (
            f"It learns from split {', '.join(others)} too, which then no longer counts as unseen: "
            f"--split {TRAIN} leaves it out."
        )


def _told_of_warmup(recipe: Recipe, *, schedule: Schedule) -> str:
    optim = schedule.optim
    key = "optim.warmup" if recipe.optim.warmup_epochs is None else "optim.warmup_epochs"
    highest = lr_at(schedule.num_updates - 1, num_updates=schedule.num_updates, config=optim)
    return (
        f"The warm-up of {counted(int(optim.warmup), 'update')} is longer than the run of "
        f"{schedule.num_updates}: the learning rate only rises, to {highest:.2g} of {optim.lr:.2g}; "
        f"train for longer, or lower {key}."
    )


def _amount(count: int) -> str:
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return str(count)


def where(world: World) -> str:
    """Return what computes, in words."""
    if world.device.type == "cuda":
        one = torch.cuda.get_device_name(world.device)
    else:
        one = f"a CPU with {counted(torch.get_num_threads(), 'thread')}"
    return one if world.size == 1 else f"{world.size} ranks, each {one}"
