"""Lists with one JSON object on each line, a row whose fields are the columns."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from vfm.shards.encoding import has_zero, refuse_file
from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import refuse_unreadable
from vfm.video2token.sources.lists.list_file import HEAD_LENGTH, ListFile, Row, plain


def read(path: Path) -> ListFile:
    """Return the list; its lines may have different fields.

    Raises:
        UsageError: it is not such a list; the sentence names the line.
        MachineError: it may not be read.
    """
    columns = {
        plain(name): name for _, value in itertools.islice(_objects(path), HEAD_LENGTH) for name in value
    }
    return ListFile(path=path, columns=columns, rows=lambda: _rows(path))


def _rows(path: Path) -> Iterator[Row]:
    for where, value in _objects(path):
        yield Row(where=where, cells={plain(name): cell for name, cell in value.items()})


def _objects(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if has_zero(line):
                    refuse_file(path)
                if line.strip():
                    where = f"{path} line {number}"
                    yield where, _object(line, where=where)
    except UnicodeDecodeError:
        refuse_file(path)
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
