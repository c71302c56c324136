"""Tables of our own: a column with the paths of the videos, and any of labels, captions, times and splits."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry, is_media, refuse_remote
from vfm.video2token.sources.lists.cells import key_of, path_of, seconds_of, text_of, texts_of
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

_READERS = {"key": key_of, "path": path_of}
_ALIASES = {
    "path": ("path", "video", "image", "file", "filename", "video_path", "image_path"),
    "labels": ("label", "labels"),
    "captions": ("caption", "captions"),
    "start_s": ("start", "start_s", "time_start"),
    "end_s": ("end", "end_s", "time_end"),
    "split": ("split",),
    "key": ("key",),
}
_FIELDS = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
_REMOTE_COLUMNS = ("url", "urls", "video_url")
_COLUMNS = "path and any of label or labels, caption or captions, start, end, split, key"

Fields = Mapping[str, str]  # of a row's columns: the plain name to the attribute it fills


def fits(found: ListFile) -> bool:
    """Return whether a column is called as one of paths is."""
    return any(name in found.columns for name in _ALIASES["path"]) and not any(map(is_media, found.columns))


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the rows; their fields may differ from line to line where the list has no header.

    Raises:
        UsageError: no path, two columns for one thing, a column of addresses, an unknown one, or a cell that
            cannot be understood.
    """
    if found.delimiter == ";":
        reading.say("semicolons stand between its cells, and are read as commas.")
    if "" in found.columns:
        reading.say("a column without a name is left unread: the row numbers of pandas.")
    header_at = f"{found.path} line 1" if found.delimiter else ""
    names: Collection[str] | None = None
    fields: Fields = {}
    for row in found.rows():
        if row.cells.keys() != names:
            names = row.cells.keys()
            fields = _fields_of(names, found=found, where=header_at or row.where, reading=reading)
        yield _entry(row, fields=fields, reading=reading)


def _fields_of(columns: Iterable[str], *, found: ListFile, where: str, reading: Reading) -> dict[str, str]:
    fields: dict[str, str] = {}
    for plain in columns:
        column = found.columns.get(plain, plain)
        name = _FIELDS.get(plain)
        if name is None:
            if plain and reading.options.other_columns == "error":
                _refuse_column(column, plain=plain, where=where)
        elif name in fields.values():
            twice = next(other for other, taken in fields.items() if taken == name)
            raise UsageError(f"{where} has both {twice!r} and {column!r}, which mean the same: keep one.")
        else:
            fields[plain] = name
    if "path" not in fields.values():
        raise UsageError(f"{where} has no column path: name the columns {_COLUMNS}.")
    return fields


def _refuse_column(column: str, *, plain: str, where: str) -> None:
    if plain in _REMOTE_COLUMNS:
        refuse_remote(f"{where}: what the column {column!r} holds")
    raise UsageError(
        f"{where} has an unknown column {column!r}: name the columns {_COLUMNS}, or use "
        "--other-columns ignore."
    )


def _entry(row: Row, *, fields: Fields, reading: Reading) -> Entry:
    given: dict[str, Any] = {}
    for column, name in fields.items():
        value = row.cells.get(column)
        if name in {"labels", "captions"}:
            given[name] = texts_of(value, where=row.where, column=column, is_many=column == name)
        elif name in {"start_s", "end_s"}:
            given[name] = seconds_of(value, where=row.where, column=column)
        else:
            read = _READERS.get(name, text_of)
            given[name] = read(value, where=row.where, column=column)
    return replace(reading.videos.named(given.pop("path"), where=row.where), **given)


FORMAT = Format(
    title="a table with the columns path and any of label, caption, start, end, split, key",
    example="path,label,split\nv/a.mp4,run,train",
    fits=fits,
    entries=entries,
    is_common=True,
)
