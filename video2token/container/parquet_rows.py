"""Videos inside a Parquet table, as Hugging Face stores them: a column of bytes, one video in each row."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("video", "video_bytes", "bytes", "mp4", "webm", "mkv", "avi", "mov")  # of plain columns of bytes
_BUFFER_BYTES = 1 << 20  # so that a group of rows is not held whole


def bytes_column(path: Path) -> str | None:
    """Return the column that holds videos, as a path into the schema; None where there is none.

    It is the first struct with a field ``bytes``, as of a feature of Hugging Face, or a column of bytes with
    the name of one of videos.

    Raises:
        OSError, pyarrow.ArrowException: it is no Parquet file, or cannot be read.
    """
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

    with _opened(path) as file:
        for field in file.schema_arrow:
            if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
                return f"{field.name}.bytes"
            if _is_bytes(field.type) and field.name.lower() in _NAMES:
                return str(field.name)
    return None


def iterate_bytes(path: Path, column: str, *, row_groups: list[int] | None = None) -> Iterator[bytes | None]:
    """Yield the bytes of each row, one row in memory at a time; None where there are none.

    Args:
        path: the table.
        column: as ``bytes_column`` gives it.
        row_groups: only these, all unless given.
    """
    name, _, field = column.partition(".")
    with _opened(path) as file:
        groups = range(file.num_row_groups) if row_groups is None else row_groups
        batches = file.iter_batches(batch_size=1, row_groups=groups, columns=[column], use_threads=False)
        for batch in batches:
            cell = batch.column(name)[0]
            value = cell[field] if field and cell.is_valid else cell
            yield value.as_py() if value.is_valid else None


def read_bytes(path: Path, *, row: int) -> bytes | None:
    """Return the bytes in one row, counted from 0; None where there are none.

    Raises:
        IndexError: there is no such row, or no column of bytes.
        OSError, pyarrow.ArrowException: it is no Parquet file, or cannot be read.
    """
    column = bytes_column(path)
    if column is None:
        raise IndexError("no column of bytes")
    with _opened(path) as file:
        num_rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    for group, count in enumerate(num_rows):
        if row < count:
            cells = iterate_bytes(path, column, row_groups=[group])
            return next(cell for place, cell in enumerate(cells) if place == row)
        row -= count
    raise IndexError("no such row")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # and takes as long as a worker's start

    with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        yield file


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
