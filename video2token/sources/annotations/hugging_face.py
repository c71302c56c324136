"""Hugging Face's Parquet files with the videos inside: a column ``video`` of bytes, labels and texts.

A label that is a ``ClassLabel`` has its names in the file's metadata, in their order. Source: the
documentation of Hugging Face datasets on the features Video and ClassLabel.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.sources.annotations.video_folder import CAPTIONS, LABELS, entry_texts, say_unread
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import text_of
from vfm.video2token.sources.lists.format import Format
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.reading import Reading

_KNOWN = ("split", *CAPTIONS, *LABELS)
# How files of pictures begin, which are no videos: JPEG, PNG, WebP's RIFF is told by its kind.
_PICTURES = {b"\xff\xd8\xff": "a JPEG", b"\x89PNG": "a PNG"}


def fits(found: ListFile) -> bool:
    """Return whether a table has a column of videos."""
    return found.path.suffix.lower() == ".parquet" and _column(found.path) is not None


def classes(found: ListFile) -> tuple[str, ...]:
    """Return the names of the labels in their order, as the file's metadata has them; empty without."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # pyarrow ships no types

    metadata = pq.read_schema(found.path).metadata or {}
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return ()
    for name, feature in features.items() if isinstance(features, dict) else ():
        if name.lower() in LABELS and isinstance(feature, dict) and isinstance(feature.get("names"), list):
            return tuple(map(str, feature["names"]))
    return ()


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos; a row's place in the file is its ``offset``.

    Raises:
        UsageError: the first row holds a picture, or the file has no videos inside.
    """
    from vfm.video2token.container.parquet_rows import iterate_bytes

    column = _column(found.path)
    if column is None:
        raise UsageError(f"{found.path} has no column of videos: name one video, or choose another --format.")
    say_unread(found, known=(*_KNOWN, column.partition(".")[0].lower()), reading=reading)
    names = classes(found)
    cells = iterate_bytes(found.path, column)
    for number, (row, data) in enumerate(zip_longest(found.rows(), cells)):
        where = f"{found.path} row {number + 1}"
        if number == 0:
            _refuse_picture(data or b"", where=where)
        entry = Entry(
            path=str(found.path),
            name=f"{found.path.name}/{number:06d}.mp4",
            where=where,
            offset=number,
            size_bytes=-1 if data is None else len(data),
        )
        yield _described(entry, row or Row(where=where), names=names)


def _column(path: Path) -> str | None:
    import pyarrow as pa

    from vfm.video2token.container.parquet_rows import bytes_column

    try:
        return bytes_column(path)
    except (OSError, pa.ArrowException):
        return None


def _described(entry: Entry, row: Row, *, names: tuple[str, ...]) -> Entry:
    labels = tuple(_name(label, names=names, where=entry.where) for label in entry_texts(row, LABELS))
    return replace(
        entry,
        labels=labels,
        captions=entry_texts(row, CAPTIONS),
        split=text_of(row.cells.get("split"), where=row.where, column="split"),
    )


def _name(label: str, *, names: tuple[str, ...], where: str) -> str:
    if not names:
        return label
    if not label.isdigit() or int(label) >= len(names):
        raise UsageError(
            f"{where} has the label {label}, and the file names {len(names)} classes: correct it."
        )
    return names[int(label)]


def _refuse_picture(data: bytes, *, where: str) -> None:
    kind = next((kind for begin, kind in _PICTURES.items() if data.startswith(begin)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "a WebP"
    if kind is not None:
        raise UsageError(f"{where} holds {kind} picture, no video: give a data set of videos.")


FORMAT = Format(
    title="Hugging Face's Parquet with videos inside",
    example="video: {bytes: …, path: a.mp4}, label: 0\nvideo: {bytes: …, path: b.mp4}, label: 1",
    fits=fits,
    entries=entries,
    classes=classes,
)
