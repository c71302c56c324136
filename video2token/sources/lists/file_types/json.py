"""JSON files: a list of objects is a table, anything else a value that only its format understands."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vfm.shards.encoding import decode_utf8
from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import refuse_unreadable
from vfm.video2token.sources.lists.list_file import HEAD_LENGTH, ListFile, Row, plain


def read(path: Path) -> ListFile:
    """Return the list, which is read whole.

    Raises:
        UsageError: it is not JSON in UTF-8; later, while it is read, an entry that is no object.
        MachineError: it may not be read.
    """
    value = _load(path)
    if not isinstance(value, list):
        return ListFile(path=path, value=value)
    columns = {plain(name): name for each in value[:HEAD_LENGTH] if isinstance(each, dict) for name in each}
    return ListFile(path=path, columns=columns, value=value, rows=lambda: _rows(path, value))


def _rows(path: Path, value: list[Any]) -> Iterator[Row]:
    for number, cells in enumerate(value, 1):
        where = f"{path} entry {number}"
        if not isinstance(cells, dict):
            raise UsageError(f"{where} is not an object: write one for each video.")
        yield Row(where=where, cells={plain(name): cell for name, cell in cells.items()})


def _load(path: Path) -> object:
    try:
        return json.loads(decode_utf8(path.read_bytes(), name=str(path)))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}): re-save it as UTF-8 JSON.") from None
    except PermissionError as error:
        refuse_unreadable(error)
