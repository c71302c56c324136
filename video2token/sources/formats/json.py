"""JSON lists of three shapes: MSR-VTT's, a list of objects (UMT), an object of captions by path (SimVTP)."""

import json
from collections.abc import Iterator
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.sources.annotations import msrvtt
from vfm.video2token.sources.entry import Entry, ListOptions, Row, refuse_unreadable
from vfm.video2token.sources.table import entries


def read(path: Path, options: ListOptions) -> Iterator[Entry]:
    """Yield the entries of a list.

    Args:
        path: absolute; read whole.
        options: how lists are read.

    Raises:
        UsageError: it is not such a list; the sentence names the entry, counted from 1.
        MachineError: it may not be read.
    """
    value = _load(path)
    if isinstance(value, dict) and "videos" in value:
        yield from msrvtt.entries(path, value, options=options)
        return
    if isinstance(value, dict):
        value = [{"path": name, "caption": caption} for name, caption in value.items()]
    if not isinstance(value, list):
        raise UsageError(
            f"{path} does not hold a list: write a list of objects, or an object of captions by path."
        )
    for number, cells in enumerate(value, 1):
        where = f"{path} entry {number}"
        if not isinstance(cells, dict):
            raise UsageError(f"{where} is not an object: write one for each video.")
        row = Row(where=where, cells=cells)
        yield from entries(path, list(cells), [row], options=options, header_at=where)


def _load(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # text that is not UTF-8 is a ValueError too
        raise UsageError(f"{path} is not JSON in UTF-8 ({error}): re-save it as UTF-8 JSON.") from None
    except PermissionError as error:
        refuse_unreadable(error)
