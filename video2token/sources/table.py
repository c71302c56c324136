"""Rows with named columns, from any kind of list, become entries; the names of columns are told here."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vfm.shards.errors import UsageError
from vfm.video2token.sources.annotations import kinetics
from vfm.video2token.sources.cells import (
    check_segment,
    key_of,
    locate,
    path_of,
    seconds_of,
    text_of,
    texts_of,
)
from vfm.video2token.sources.entry import Entry, ListOptions, Row, refuse_remote

_READERS = {"key": key_of, "path": path_of}
_ALIASES = {
    "path": ("path", "video", "file", "filename"),
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

Fields = Mapping[str, str]  # of a list's columns: the column's name to the attribute it fills


def is_known(column: str) -> bool:
    """Return whether a column means something in any table."""
    plain = column.strip().lower()
    return plain in _FIELDS or plain in kinetics.KNOWN


def fields_of(columns: Collection[str], *, where: str, options: ListOptions) -> dict[str, str]:
    """Return which attribute each column of a list fills.

    Args:
        columns: as the list writes them.
        where: the list, and the line that names its columns.
        options: says what is to be done about columns that mean nothing here.

    Raises:
        UsageError: no path, two columns for one thing, a column of addresses, or an unknown one.
    """
    fields: dict[str, str] = {}
    for column in columns:
        plain = column.strip().lower()
        name = _FIELDS.get(plain)
        if name is None:
            _refuse_column(column, plain=plain, where=where, options=options)
        elif name in fields.values():
            twice = next(other for other, taken in fields.items() if taken == name)
            raise UsageError(f"{where} has both {twice!r} and {column!r}, which mean the same: keep one.")
        else:
            fields[column] = name
    if "path" not in fields.values():
        raise UsageError(f"{where} has no column path: name the columns {_COLUMNS}.")
    return fields


def _refuse_column(column: str, *, plain: str, where: str, options: ListOptions) -> None:
    if options.other_columns == "ignore":
        return
    if plain in _REMOTE_COLUMNS:
        refuse_remote(f"{where}: what the column {column!r} holds")
    raise UsageError(
        f"{where} has an unknown column {column!r}: name the columns {_COLUMNS}, or use "
        "--other-columns ignore."
    )


def entries(
    path: Path, header: list[str], rows: Iterable[Row], *, options: ListOptions, header_at: str
) -> Iterator[Entry]:
    """Yield the entries of a table whose rows all have the columns of ``header``; Kinetics lists too."""
    if kinetics.is_header(header):
        yield from kinetics.entries(path, rows, options=options)
        return
    fields = fields_of(header, where=header_at, options=options)
    root = str(options.root_of(path))
    for row in rows:
        yield entry_of(row, root=root, fields=fields)


def entry_of(row: Row, *, root: str, fields: Fields) -> Entry:
    """Return the entry of one row; its path is relative to ``root``.

    Raises:
        UsageError: a cell that cannot be understood; the sentence says where it is.
    """
    given: dict[str, Any] = {"start_s": None, "end_s": None}
    for column, name in fields.items():
        value = row.cells.get(column)
        if name in {"labels", "captions"}:
            is_many = column.strip().lower() == name
            given[name] = texts_of(value, where=row.where, column=column, is_many=is_many)
        elif name in {"start_s", "end_s"}:
            given[name] = seconds_of(value, where=row.where, column=column)
        else:
            read = _READERS.get(name, text_of)
            given[name] = read(value, where=row.where, column=column)
    check_segment(given["start_s"], given["end_s"], where=row.where)
    file, name = locate(given.pop("path"), root=root, where=row.where)
    return Entry(path=file, name=name, where=row.where, **given)
