"""Lists that are text: their lines, and their rows where the first line names columns (RFC 4180)."""

import csv
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vfm.shards.encoding import has_zero, refuse_file
from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import refuse_unreadable
from vfm.video2token.sources.lists.list_file import HEAD_LENGTH, Line, ListFile, Row, plain


def read_text(path: Path, *, delimiters: str) -> ListFile:
    """Return a list of text.

    Args:
        path: absolute.
        delimiters: what may stand between cells, the likeliest first.

    Raises:
        UsageError: it is not UTF-8 text; later, while it is read, with the line.
        MachineError: it may not be read.
    """
    head = tuple(line.text for line in itertools.islice(_lines(path), HEAD_LENGTH))
    first = head[0] if head else ""
    cuts = {delimiter: _cells(first, delimiter) for delimiter in delimiters}
    delimiter = max(cuts, key=lambda each: len(cuts[each]))  # the likeliest of those that cut as often
    columns = {plain(name): name for name in cuts[delimiter]}
    return ListFile(
        path=path,
        columns=columns,
        delimiter=delimiter,
        head=head,
        rows=lambda: _rows(path, delimiter=delimiter),
        lines=lambda: _lines(path),
    )


def _lines(path: Path) -> Iterator[Line]:
    with _opened(path, newline=None) as file:
        for number, line in enumerate(file, 1):
            if has_zero(line):
                refuse_file(path)
            if text := line.strip():
                yield Line(where=f"{path} line {number}", text=text)


def _rows(path: Path, *, delimiter: str) -> Iterator[Row]:
    with _opened(path, newline="") as file:
        lines = csv.reader(file, strict=True, delimiter=delimiter)
        header = [plain(name) for name in next(filter(None, lines), [])]
        if len(set(header)) < len(header):
            raise UsageError(f"{path} line 1 has a column twice: name each once.")
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(header):
                raise UsageError(
                    f"{path} line {lines.line_num} has {len(cells)} cells, its header {len(header)}: fix it."
                )
            yield Row(where=f"{path} line {lines.line_num}", cells=dict(zip(header, cells, strict=True)))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True, delimiter=delimiter), [])
    except csv.Error:
        return [line]


@contextmanager
def _opened(path: Path, *, newline: str | None) -> Iterator[IO[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            yield file
    except UnicodeDecodeError:
        refuse_file(path)
    except csv.Error as error:
        raise UsageError(f"{path} is not a table of text ({error}): close its quotes.") from None
    except PermissionError as error:
        refuse_unreadable(error)
