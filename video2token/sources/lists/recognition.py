"""Whose a list is: found by what it looks like, or told with --format."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.wording import listed
from vfm.video2token.sources import annotations
from vfm.video2token.sources.entry import Entry, refuse_remote
from vfm.video2token.sources.folders import refuse_empty
from vfm.video2token.sources.lists import file_types
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

_ADDRESSES = ("url", "urls", "video_url")
_NUM_NAMED = 6  # how many columns a sentence names
_NUM_CHARACTERS = 60  # of a line that a sentence shows


def open_list(path: Path) -> ListFile:
    """Return a list by the suffix of its name, one of ``file_types.names()``.

    Raises:
        UsageError: it is not such a file, or it is empty.
        MachineError: it may not be read.
    """
    found: ListFile = importlib.import_module(f"{file_types.__name__}.{path.suffix[1:].lower()}").read(path)
    if not found.columns and not found.head and found.value in (None, [], {}):
        refuse_empty(path, num_hidden=0)
    return found


def recognized(found: ListFile, *, name: str | None) -> str:
    """Return the name of the format that a list is in.

    Args:
        found: the list.
        name: what the user says it is; None where nothing was said.

    Raises:
        UsageError: nobody writes such a list, or several do.
    """
    if name is not None:
        if name not in annotations.names():
            raise UsageError(f"There is no format {name!r}: choose one of {', '.join(annotations.names())}.")
        return name
    formats = {each: annotations.load(each) for each in annotations.names()}
    fitting = [each for each, kind in formats.items() if kind.fits(found)]
    fitting = [each for each in fitting if not formats[each].is_common] or fitting
    if not fitting:
        _refuse_unknown(found)
    if len(fitting) > 1:
        _refuse_several(found, [(each, formats[each]) for each in fitting])
    return fitting[0]


def entries_of(found: ListFile, *, name: str, reading: Reading) -> Iterator[Entry]:
    """Yield the entries of a list in the format ``name``.

    Raises:
        UsageError: it is not such a list; the sentence names the place.
    """
    yield from annotations.load(name).entries(found, reading)


def _refuse_several(found: ListFile, formats: Sequence[tuple[str, Format]]) -> None:
    readings = " or as ".join(f"{kind.title} (--format {name})" for name, kind in formats)
    raise UsageError(f"{_shown(found)} can be read as {readings}: choose one with --format.")


def _refuse_unknown(found: ListFile) -> None:
    if addresses := [name for name in found.columns if name in _ADDRESSES]:
        refuse_remote(f"{found.path}: what the column {found.columns[addresses[0]]!r} holds")
    place = " in the first line" if found.head else ""
    raise UsageError(
        f"{_shown(found)} is no list that vfm knows: name its columns path and any of label, caption, start, "
        f"end, split, key{place}, or choose one of `vfm extract --formats` with --format."
    )


def _shown(found: ListFile) -> str:
    """Return the name of a list and a glimpse of it."""
    if found.head:
        line = found.head[0]
        return f"{found.path} ({line[:_NUM_CHARACTERS] + '…' if len(line) > _NUM_CHARACTERS else line!r})"
    if found.columns:
        return f"{found.path} (with {listed(list(found.columns.values()), limit=_NUM_NAMED)})"
    return str(found.path)
