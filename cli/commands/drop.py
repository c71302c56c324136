"""``vfm drop``: removes a column of targets from a dataset."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_next
from vfm.cli.display.text import printable
from vfm.cli.options import shared
from vfm.shards.wording import counted


@click.command()
@click.argument("data", type=shared.PATH)
@click.argument("column")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared.as_json()
def command(data: Path, column: str, yes: bool, as_json: bool) -> None:
    """Remove target column COLUMN from dataset DATA, finished or not; frames and other columns stay.

    Killed on the way, it is finished by the same command. `vfm tokenize` computes the column again.

    \b
    Examples:
      vfm drop data/mine vq.mine
      vfm drop data/mine text.words --yes --json
    """
    from vfm.shards.errors import UsageError
    from vfm.shards.writing.drop import drop_column, droppable

    found = droppable(data, column)
    told = f"{found.num_shards_done} of {counted(found.num_shards, 'shard')}, {found.size_bytes / 1e6:.1f} MB"
    if not yes and not _agreed(f"Remove column {column} of {data} ({told}) for good?"):
        raise UsageError(f"Column {column} was kept: answer y, or give --yes, to remove it.")
    drop_column(data, column)
    if as_json:
        output.show_json({"data": str(data), **asdict(found)})
    output.say(f"removed column {column} ({told})")
    say_next("inspect", data)


def _agreed(question: str) -> bool:
    """Ask on stderr; nobody there to answer means no."""
    click.echo(f"{printable(question)} [y/N] ", err=True, nl=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
