"""A list as it lies on the disk, before anyone knows whose it is: named rows, lines, or a JSON value."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vfm.shards.errors import UsageError

HEAD_LENGTH = 20  # lines or rows that tell the kind of a list


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a list that is not blank, without the line's end, and where it stands."""

    where: str
    text: str

    def cut(self, pattern: re.Pattern[str], *, expected: str) -> re.Match[str]:
        """Return the parts of the line by a pattern.

        Raises:
            UsageError: it is not what is expected.
        """
        if (parts := pattern.fullmatch(self.text)) is None:
            raise UsageError(f"{self.where} is not {expected}: fix it.")
        return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a table, and where it stands; its cells go by the plain names of their columns."""

    where: str
    cells: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFile:
    """A list by what can be read of it.

    Attributes:
        path: absolute.
        columns: plain name of each column to its name in the list; empty where nothing names columns. In a
            text list it is the first line, cut, whether that names columns or not.
        delimiter: between the cells of a text list, empty elsewhere.
        head: the first lines of a text list that are not blank.
        value: of a JSON file, None elsewhere.
        rows: reads the rows under the columns, from the first each time it is called.
        lines: reads the lines of a text list, from the first each time it is called.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ""
    head: tuple[str, ...] = ()
    value: object = None
    rows: Callable[[], Iterator[Row]] = lambda: iter(())
    lines: Callable[[], Iterator[Line]] = lambda: iter(())

    def has_lines(self, pattern: re.Pattern[str]) -> bool:
        """Return whether there are lines, and the first of them all have one pattern."""
        return bool(self.head) and all(map(pattern.fullmatch, self.head))

    def has(self, *columns: str) -> bool:
        """Return whether the list has all of these columns, by their plain names."""
        return self.columns.keys() >= set(columns)


def plain(column: str) -> str:
    """Return the plain name of a column: lower case, no spaces around it."""
    return column.strip().lower()
