"""Options of a command that lists sources, what they mean together, and their names in other tools."""

import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.options.shared import PATH, Decorator, together
from vfm.shards.errors import UsageError

if TYPE_CHECKING:
    from vfm.shards.format.plan import Source
    from vfm.video2token.rejection import Retry
    from vfm.video2token.sources.listing import Missing

# Options of img2dataset and video2dataset that mean the same here; docs/reference/sources.md lists them.
_ALIASES = {
    "encode-quality": "quality",
    "number-sample-per-shard": "samples-per-shard",
    "processes-count": "workers",
    "video-fps": "fps",
}


def own_name(name: str) -> str:
    """Return our name of an option, without its dashes: underscores become dashes, and aliases are known."""
    name = name.replace("_", "-")
    return _ALIASES.get(name, name)


def allowance(text: str) -> int | Fraction:
    """Return what ``--allow-rejects`` says: an int for a number, a fraction for a share such as ``1%``.

    Raises:
        click.BadParameter: it is neither.
    """
    found = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)%", text.strip())
    if not found:
        raise click.BadParameter(f"{text!r} is neither a number such as 10 nor a share such as 1%.")
    count, percent = found.groups()
    if count is None and Fraction(percent) > 100:
        raise click.BadParameter(f"{text!r} is more than all.")
    return int(count) if count is not None else Fraction(percent) / 100


def is_within(num_rejected: int, allowed: int | Fraction, *, num_sources: int) -> bool:
    """Return whether no more sources were rejected than is allowed."""
    return num_rejected <= (allowed * num_sources if isinstance(allowed, Fraction) else allowed)


def list_options() -> Decorator:
    """Return the options that say how lists are read, as one decorator."""
    return together(
        click.option(
            "--root",
            type=PATH,
            metavar="FOLDER",
            help="What paths in lists are relative to, else the list's folder.",
        ),
        click.option(
            "--classes",
            type=PATH,
            metavar="FILE",
            help="Names of the classes, one on each line, for lists with integers as labels.",
        ),
        click.option(
            "--other-columns",
            type=click.Choice(["error", "ignore"]),
            default="error",
            show_default=True,
            help="What to do about unknown columns of a list.",
        ),
        click.option(
            "--missing",
            type=click.Choice(["error", "quarantine"]),
            default="error",
            show_default=True,
            help="What to do about a list that names missing files.",
        ),
    )


def source_options() -> Decorator:
    """Return all the options that say which sources a job has, as one decorator."""
    return together(
        click.option(
            "--input-list",
            type=PATH,
            metavar="FILE",
            help="Read more SOURCES from FILE, one on each line or between NULs; - is the standard input.",
        ),
        list_options(),
        click.option(
            "--limit",
            type=click.IntRange(min=1),
            metavar="N",
            help="Take only the first N sources in the plan's order, a fair sample of all.",
        ),
        click.option("--dry-run", is_flag=True, help="Only count what would be done; write nothing."),
        click.option(
            "--retry-failed", is_flag=True, help="Try again what failed for a reason that may have passed."
        ),
        click.option("--retry-all", is_flag=True, help="Try again every source that was rejected."),
        click.option("--output-folder", type=PATH, hidden=True, help="DATA, as img2dataset calls it."),
    )


def places(sources: tuple[Path, ...], data: Path | None, given: dict[str, Any]) -> tuple[list[Path], Path]:
    """Return the inputs and the output that the arguments and options name together.

    Raises:
        click.UsageError: one of them is missing.
    """
    from vfm.video2token.sources.listing import read_input_list

    inputs, folder = list(sources), given["output_folder"]
    if folder is not None and data is not None:
        inputs.append(data)  # the last argument is one of the sources then
    folder = folder or data
    if given["input_list"] is not None:
        inputs += read_input_list(given["input_list"])
    if folder is None or not inputs:
        raise click.UsageError(
            "Missing argument 'SOURCES... DATA': name videos, and the folder of the dataset."
        )
    return inputs, folder


def find_sources(inputs: list[Path], given: dict[str, Any]) -> "tuple[list[Source], int]":
    """Return the sources that the options choose of what the inputs hold, and how much that is hidden.

    Hidden videos and folders are left out; that is said.
    """
    from vfm.shards.format.plan import in_plan_order
    from vfm.video2token.sources.listing import ListOptions, list_sources, read_classes

    options = ListOptions(
        root=given["root"],
        classes=read_classes(given["classes"]).names if given["classes"] else (),
        other_columns=given["other_columns"],
    )
    missing: Missing = "quarantine" if given.get("dry_run") else given["missing"]
    hidden: list[str] = []
    sources = list_sources(inputs, missing=missing, options=options, on_hidden=hidden.append)
    if hidden:
        output.say(
            f"note: hidden videos and folders, whose names begin with a dot, are left out: {len(hidden)}, "
            f"the first {hidden[0]}."
        )
    chosen = in_plan_order(sources)[: given["limit"]] if given.get("limit") else sources
    return chosen, len(hidden)


def retry_of(given: dict[str, Any]) -> "Retry":
    """Return which rejected sources are tried again.

    Raises:
        UsageError: two answers to that.
    """
    if given["retry_failed"] and given["retry_all"]:
        raise UsageError("--retry-all tries again all that --retry-failed does: use one of them.")
    return "all" if given["retry_all"] else "failed" if given["retry_failed"] else "none"
