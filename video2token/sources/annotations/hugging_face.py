"""Hugging Face's Parquet files with the videos inside: a column ``video`` of bytes, labels and texts.

A row without the bytes means the file of its ``path``. A label that is a ``ClassLabel`` has its names in the
file's metadata, in their order; -1 is none. Source: the documentation of Hugging Face datasets on the
features Video and ClassLabel.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vfm.shards.errors import UsageError
from vfm.video2token.sources.annotations.video_folder import CAPTIONS, LABELS, entry_texts, say_unread
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import text_of
from vfm.video2token.sources.lists.list_file import ListFile, Row, plain
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

if TYPE_CHECKING:
    from vfm.video2token.container.parquet_rows import VideoColumn

_KNOWN = ("split", *CAPTIONS, *LABELS)
_UNKNOWN = "-1"  # the ClassLabel of what has none, as in test splits
_PICTURES = {b"\xff\xd8\xff": "a JPEG picture", b"\x89PNG": "a PNG picture"}
# How videos begin: AVI, Matroska, Flash, Ogg, ASF, MPEG-PS and -TS, GIF, IVF, YUV, Real.
_VIDEOS = (b"RIFF", b"\x1aE\xdf\xa3", b"FLV", b"OggS", b"0&\xb2u", b"\0\0\1", b"G", b"DKIF", b"YUV4", b".RMF")
_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")  # the first of MP4 and MOV


def fits(found: ListFile) -> bool:
    """Return whether a table has a column of videos."""
    return found.path.suffix.lower() == ".parquet" and _column(found.path) is not None


def classes(found: ListFile, _reading: Reading) -> tuple[str, ...]:
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
        UsageError: the first row holds something else, or the file has no videos inside.
    """
    from vfm.video2token.container.parquet_rows import iterate_cells

    column = _column(found.path)
    if column is None:
        raise UsageError(f"{found.path} has no column of videos: name one video, or choose another --format.")
    say_unread(found, known=(*_KNOWN, plain(column.name)), reading=reading)
    names = classes(found, reading)
    cells = iterate_cells(found.path, column)
    for number, (row, video) in enumerate(zip(found.rows(), cells, strict=True)):
        if number == 0:
            _refuse_no_video(video.data, where=row.where)
        entry = Entry(
            path=str(found.path),
            name=f"{number:06d}.mp4",
            where=row.where,
            offset=number,
            size_bytes=-1 if video.data is None else len(video.data),
        )
        if video.data is None and video.path:
            entry = reading.videos.named(video.path, where=row.where)
        yield _described(entry, row, names=names)


def _column(path: Path) -> "VideoColumn | None":
    import pyarrow as pa

    from vfm.video2token.container.parquet_rows import video_column

    try:
        return video_column(path)
    except (OSError, pa.ArrowException):
        return None


def _described(entry: Entry, row: Row, *, names: tuple[str, ...]) -> Entry:
    numbers = [label for label in entry_texts(row, LABELS) if not names or label != _UNKNOWN]
    labels = tuple(_name(label, names=names, where=entry.where) for label in numbers)
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


def _refuse_no_video(data: bytes | None, *, where: str) -> None:
    """Refuse what no container of videos begins with, before thousands of such rows are tried."""
    if not data:
        return
    kind = next(
        (kind for begin, kind in _PICTURES.items() if data.startswith(begin)), "bytes of another kind"
    )
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if is_webp or not (data.startswith(_VIDEOS) or data[4:8] in _BOXES):
        kind = "a WebP picture" if is_webp else kind
        raise UsageError(f"{where} holds {kind}, no video: give a data set of videos.")


FORMAT = Format(
    title="Hugging Face's Parquet with videos inside",
    example="video: {bytes: …, path: a.mp4}, label: 0\nvideo: {bytes: …, path: b.mp4}, label: 1",
    fits=fits,
    entries=entries,
    classes=classes,
)
