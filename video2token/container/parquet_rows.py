"""Videos inside a Parquet table, as Hugging Face stores them: a column of bytes, one video in each row."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAMES = ("video", "video_bytes", "bytes", "mp4", "webm", "mkv", "avi", "mov")  # of columns of videos
_BUFFER_BYTES = 1 << 20  # so that a group of rows is not held whole


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoColumn:
    """A column that holds videos.

    Attributes:
        name: of the column.
        is_struct: whether its cells are structs with the bytes in the field ``bytes``.
        has_path: whether these have a field ``path``, too, which says where a video lies whose bytes do not.
    """

    name: str
    is_struct: bool = False
    has_path: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoCell:
    """A video in one row: its bytes, else its path, else neither."""

    data: bytes | None = None
    path: str | None = None


def video_column(path: Path) -> VideoColumn | None:
    """Return the column that holds videos; None where there is none.

    It is a struct with a field ``bytes``, as of a feature of Hugging Face, or a column of bytes; the first
    that is called as videos are, else the first such struct.

    Raises:
        OSError, pyarrow.ArrowException: it is no Parquet file, or cannot be read.
    """
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

    named, structs = [], []
    with _opened(path) as file:
        for field in file.schema_arrow:
            is_named = field.name.lower().rpartition(".")[2] in _NAMES
            if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
                has_path = field.type.get_field_index("path") >= 0
                structs.append(VideoColumn(name=field.name, is_struct=True, has_path=has_path))
                named += structs[-1:] if is_named else []
            elif is_named and (pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)):
                named.append(VideoColumn(name=field.name))
    return next(iter([*named, *structs]), None)


def iterate_cells(
    path: Path, column: VideoColumn, *, row_groups: list[int] | None = None
) -> Iterator[VideoCell]:
    """Yield the video of each row, one row in memory at a time.

    Args:
        path: the table.
        column: as ``video_column`` gives it.
        row_groups: only these, all unless given.
    """
    fields = [f"{column.name}.bytes", *([f"{column.name}.path"] if column.has_path else [])]
    columns = fields if column.is_struct else [column.name]
    with _opened(path) as file:
        groups = range(file.num_row_groups) if row_groups is None else row_groups
        batches = file.iter_batches(batch_size=1, row_groups=groups, columns=columns, use_threads=False)
        for batch in batches:
            cell = batch.column(column.name)[0].as_py()
            cell = (cell or {}) if column.is_struct else {"bytes": cell}
            yield VideoCell(data=cell.get("bytes"), path=cell.get("path"))


def read_bytes(path: Path, *, row: int) -> bytes | None:
    """Return the bytes in one row, counted from 0; None where there are none.

    Raises:
        IndexError: there is no such row, or no column of bytes.
        OSError, pyarrow.ArrowException: it is no Parquet file, or cannot be read.
    """
    column = video_column(path)
    if column is None:
        raise IndexError("no column of bytes")
    with _opened(path) as file:
        num_rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    for group, count in enumerate(num_rows):
        if row < count:
            cells = iterate_cells(path, column, row_groups=[group])
            return next(cell.data for place, cell in enumerate(cells) if place == row)
        row -= count
    raise IndexError("no such row")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # and takes as long as a worker's start

    with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        yield file
