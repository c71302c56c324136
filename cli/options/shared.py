"""Options that several commands share, so that they are called and explained the same everywhere."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

PATH = click.Path(path_type=Path)


def together(*decorators: Decorator) -> Decorator:
    """Return several options as one decorator, in the order in which the help shows them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def workers(what: str) -> Decorator:
    """Return ``--workers``; ``what`` says what the processes do."""
    return click.option(
        "--workers",
        "num_workers",
        type=click.IntRange(min=1),
        default=num_usable_cores,
        show_default="one per usable core",
        metavar="N",
        help=f"Processes that {what}.",
    )


def loader_workers() -> Decorator:
    """Return ``--workers`` of what trains and evaluates, where the default is a matter of the device."""
    return click.option(
        "--workers",
        "num_workers",
        type=click.IntRange(min=0),
        metavar="N",
        help="Loader processes per rank; unless given, 4 on a GPU and none on a CPU.",
    )


def decoder() -> Decorator:
    """Return ``--decoder``, whose names are the files of the decoders' folder."""
    return click.option(
        "--decoder",
        type=click.Choice(decoder_names()),
        default="pyav",
        show_default=True,
        help="Decoder to use; `vfm doctor` shows which work here.",
    )


def threads() -> Decorator:
    """Return ``--threads``."""
    return click.option(
        "--threads",
        "num_threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="CPU threads that compute; torch decides unless given.",
    )


def nproc() -> Decorator:
    """Return ``--nproc``, with which a command runs once for each rank in place of once."""
    option = click.option(
        "--nproc",
        type=click.IntRange(min=1),
        metavar="N",
        help="Ranks on this machine, one for each GPU; torchrun starts those of several machines.",
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def on_ranks(*arguments: Any, nproc: int | None = None, **given: Any) -> Any:
            from vfm.trainer.launch import launch, wants_ranks

            if wants_ranks(nproc):
                assert nproc is not None, "nobody wants no ranks"
                return launch([sys.executable, "-m", "vfm.cli", *sys.argv[1:]], num_ranks=nproc)
            return function(*arguments, **given)

        return option(on_ranks)

    return decorate


def device() -> Decorator:
    """Return ``--device`` of what trains, evaluates and embeds."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to compute.",
    )


def views(*, clips: str, crops: str) -> Decorator:
    """Return ``--clips`` and ``--crops``, what is seen of a video; the words say what becomes of each."""
    return together(
        click.option(
            "--clips",
            "num_clips",
            type=click.IntRange(min=1),
            default=5,
            show_default=True,
            help=f"Clips of each sample, from its first frame to its last; {clips}",
        ),
        click.option(
            "--crops",
            "num_crops",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help=f"Squares of each clip, from one end of the frames' long side to the other; {crops}",
        ),
    )


def accept_data() -> Decorator:
    """Return ``--accept-data``."""
    return click.option(
        "--accept-data",
        is_flag=True,
        help="Use a dataset whose frames are not as needed; how they differ is kept with the result.",
    )


def as_json() -> Decorator:
    """Return ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout."
    )


def decoder_names() -> list[str]:
    """Return the names of the decoders that ship with vfm; imports none of them."""
    from vfm.video2token.decoding import decoders

    return decoders.names()


def num_usable_cores() -> int:
    """Return how many cores this process may run on, which a scheduler may have limited."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
