"""What commands show: data on stdout, talk and progress on stderr; nothing here knows what it shows."""

import json
import sys
from collections.abc import Sequence

import click

from vfm.cli.display.text import printable


def show_json(value: object) -> None:
    """Print one JSON object on stdout, keys in the order given."""
    click.echo(json.dumps(value, ensure_ascii=True, allow_nan=False))


def show(text: str) -> None:
    """Print a result on stdout."""
    click.echo(printable(text))


def say(text: str, *, color: str | None = None) -> None:
    """Print talk on stderr; the colour is for terminals."""
    click.secho(printable(text), fg=color if sys.stderr.isatty() else None, err=True)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as text in columns, numbers to the right, for ``show``."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    numeric = [
        bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        for column in range(len(header))
    ]
    lines = (
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    return printable(text).replace("\n", "\\n")
