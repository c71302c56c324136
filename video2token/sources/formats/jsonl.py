"""Lists with one JSON object on each line; its fields are the columns of a CSV list."""

import json
from collections.abc import Iterator
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry, ListOptions, Row, refuse_unreadable
from vfm.video2token.sources.table import entries


def read(path: Path, options: ListOptions) -> Iterator[Entry]:
    """Yield the lines of a list; lines may have different fields.

    Args:
        path: absolute.
        options: how lists are read.

    Raises:
        UsageError: it is not such a list; the sentence names the line.
        MachineError: it may not be read.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    where = f"{path} line {number}"
                    row = Row(where=where, cells=_object(line, where=where))
                    yield from entries(path, list(row.cells), [row], options=options, header_at=where)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error}): re-save it as UTF-8.") from None
    except PermissionError as error:
        refuse_unreadable(error)


def _object(line: str, *, where: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not JSON ({error}): write one object on each line.") from None
    if not isinstance(value, dict):
        raise UsageError(
            f'{where} is not a JSON object: write one on each line, such as {{"path": "a.mp4"}}.'
        )
    return value
