"""What ``vfm pretrain`` and ``vfm finetune`` share: options, the settings they stand for, how a run ends."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.display.progress import make_progress
from vfm.cli.display.training import is_chief, silent
from vfm.cli.options import shared

if TYPE_CHECKING:
    from vfm.shards.reading.mixture import Source
    from vfm.trainer.runs.folder import RunOptions

# The daily knobs and the keys of the recipe that each stands for.
_SETTINGS = {
    "epochs": ("train.epochs={}", "train.max_steps=none"),
    "steps": ("train.max_steps={}",),
    "batch_size": ("train.batch_size={}",),
    "num_workers": ("train.num_workers={}",),
    "split": ("data.split={}",),
}
_OPTIONS = (
    click.option("--out", required=True, type=shared.PATH, help="The run's folder, new or to resume."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one number of the recipe; may be repeated.",
    ),
    click.option("--epochs", type=click.IntRange(min=1), help="Passes over the samples."),
    click.option("--steps", type=click.IntRange(min=1), help="Updates, in place of --epochs."),
    click.option("--batch-size", type=click.IntRange(min=1), help="Samples per update, all ranks together."),
    shared.loader_workers(),
    click.option("--split", metavar="NAME", help="Train on this split only; all takes every sample."),
    shared.device(),
    shared.nproc(),
    click.option(
        "--no-fallback", is_flag=True, help="Stop at a damaged checkpoint instead of taking the one before."
    ),
    click.option(
        "--extend", is_flag=True, help="Train the run in --out for longer, by more --epochs or --steps."
    ),
    shared.accept_data(),
    shared.threads(),
    shared.as_json(),
)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a training run."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def data_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the datasets that it learns from."""
    return click.argument("data", nargs=-1, required=True, metavar="DATA[=WEIGHT]...")(command)


def sources_of(data: Sequence[str]) -> "list[Source]":
    """Return the datasets and their weights."""
    from vfm.shards.reading.mixture import parse_source

    return [parse_source(text) for text in data]


def settings_of(given: dict[str, Any]) -> list[str]:
    """Return every setting that was asked for; ``--set`` comes last and wins.

    Raises:
        UsageError: ``--split`` names none.
    """
    from vfm.shards.errors import UsageError
    from vfm.trainer.recipes.values import NONE

    if given["split"] is not None and given["split"].lower() in NONE:  # in --set it would be every sample
        raise UsageError(f"--split {given['split']} names no split: --split all takes every sample.")
    named = [
        text.format(given[name])
        for name, texts in _SETTINGS.items()
        if given[name] is not None
        for text in texts
    ]
    return [*named, *given["settings"]]


def run_options(given: dict[str, Any]) -> "RunOptions":
    """Return how to run."""
    from vfm.shards.progress import NoProgress
    from vfm.trainer.runs.folder import RunOptions

    return RunOptions(
        device=given["device"],
        num_threads=given["num_threads"],
        num_workers=given["num_workers"],
        fall_back=not given["no_fallback"],
        accept_data=given["accept_data"],
        extend=given.get("extend", False),  # evaluation has nothing to extend
        say=output.say if is_chief() else silent,
        progress=make_progress() if is_chief() else NoProgress(),
    )
