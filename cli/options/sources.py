"""Options of a command that lists sources, what they mean together, and their names in other tools."""

import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.options.shared import PATH, Decorator, together
from vfm.shards.errors import UsageError

if TYPE_CHECKING:
    from vfm.video2token.rejection import Retry
    from vfm.video2token.sources.listing import Listing, ListOptions, Missing

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


def seconds(text: str) -> float:
    """Return what ``--first`` says.

    Raises:
        click.BadParameter: it is no time, or none that is longer than nothing.
    """
    try:
        time_s = float(text)
    except ValueError:
        time_s = math.nan
    if not 0 < time_s < math.inf:
        raise click.BadParameter(f"{text!r} is not a number of seconds, such as 30.")
    return time_s


def split_and_path(text: str) -> tuple[str, Path]:
    """Return what ``--list`` says: a split, and the path behind the first ``=``.

    Raises:
        click.BadParameter: it says no split or no path.
    """
    split, _, path = text.partition("=")
    if not split.strip() or not path:
        raise click.BadParameter(f"{text!r} is not SPLIT=FILE, such as train=trainlist01.txt.")
    return split.strip(), Path(path)


def _show_formats(context: click.Context, _option: click.Parameter, is_asked: bool) -> None:  # noqa: FBT001
    if is_asked:
        from vfm.video2token.sources.report import formats_told

        output.show(formats_told())
        context.exit()


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
            help="Folder of the videos that lists name, else the list's own.",
        ),
        _kind_options(),
        _class_options(),
        click.option(
            "--any-suffix",
            is_flag=True,
            help="Take the video of the same name with another suffix for one that is missing.",
        ),
        click.option(
            "--whole-videos",
            is_flag=True,
            help="Take whole videos where a list names segments, each with all captions and labels of these.",
        ),
        click.option(
            "--first",
            "first_s",
            type=seconds,
            metavar="SECONDS",
            help="Take only the first seconds of each video; of a shorter one, all.",
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
            default="quarantine",
            show_default=True,
            help="What to do about missing files and segments without length.",
        ),
    )


def _kind_options() -> Decorator:
    return together(
        click.option(
            "--list",
            "lists",
            multiple=True,
            type=split_and_path,
            metavar="SPLIT=FILE",
            help="A list, folder or tar whose videos are all of one split; may be given several times.",
        ),
        click.option(
            "--format",
            "format_name",
            metavar="NAME",
            help="Read lists as this format, one of --formats, and not as the one they look like.",
        ),
        click.option(
            "--formats",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_formats,
            help="Show the formats of lists, with an example of each.",
        ),
    )


def _class_options() -> Decorator:
    return together(
        click.option(
            "--classes",
            type=PATH,
            metavar="FILE",
            help="Names of the classes in their order: one on each line, or as data sets publish them.",
        ),
        click.option(
            "--num-classes",
            type=click.IntRange(min=1),
            metavar="N",
            help="How many classes there are, where labels are integers and not all of 0 to N-1 occur.",
        ),
        click.option(
            "--label",
            metavar="NAME",
            help="The label that is the class, in lists with several: verb, noun or action of EPIC-KITCHENS.",
        ),
        click.option(
            "--no-labels", is_flag=True, help="Take neither labels nor splits from the names of folders."
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
    if folder is None or not (inputs or given["lists"]):
        raise click.UsageError(
            "Missing argument 'SOURCES... DATA': name videos, and the folder of the dataset."
        )
    return inputs, folder


def find_sources(inputs: list[Path], given: dict[str, Any]) -> "Listing":
    """Return the sources that the options choose of what the inputs hold; how they were read is said."""
    from vfm.shards.format.plan import in_plan_order
    from vfm.video2token.sources.listing import list_sources, refuse_absent
    from vfm.video2token.sources.report import told

    missing: Missing = "quarantine" if given.get("dry_run") else given["missing"]
    found = list_sources(inputs, missing=missing, options=_list_options(given), lists=given["lists"])
    refuse_absent(found)
    for sentence in told(found):
        output.say(sentence)
    if not given.get("limit"):
        return found
    return replace(found, sources=tuple(in_plan_order(found.sources)[: given["limit"]]))


def _list_options(given: dict[str, Any]) -> "ListOptions":
    from vfm.video2token.sources.classes import read_classes
    from vfm.video2token.sources.lists.reading import ListOptions

    classes = read_classes(given["classes"]) if given["classes"] else None
    if classes is not None:
        output.say(f"--classes: {classes.told}.")
    of_lists = ("root", "format_name", "num_classes", "label", "any_suffix", "other_columns")
    return ListOptions(
        classes=classes,
        has_folder_labels=not given["no_labels"],
        **{name: given[name] for name in (*of_lists, "whole_videos", "first_s", "images")},
    )


def retry_of(given: dict[str, Any]) -> "Retry":
    """Return which rejected sources are tried again.

    Raises:
        UsageError: two answers to that.
    """
    if given["retry_failed"] and given["retry_all"]:
        raise UsageError("--retry-all tries again all that --retry-failed does: use one of them.")
    return "all" if given["retry_all"] else "failed" if given["retry_failed"] else "none"
