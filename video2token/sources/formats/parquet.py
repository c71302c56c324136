"""Parquet tables with the columns of a CSV list; labels and captions may be lists."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry, ListOptions, Row, refuse_unreadable
from vfm.video2token.sources.table import entries, is_known

_BATCH_ROWS = 4096
_INDEX = "__index_level_0__"  # what pandas adds to a table whose rows it has numbered


def read(path: Path, options: ListOptions) -> Iterator[Entry]:
    """Yield the rows of a table.

    Args:
        path: absolute.
        options: how lists are read.

    Raises:
        UsageError: it is not such a table; the sentence names the row, counted from 1.
        MachineError: it may not be read.
    """
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        with pq.ParquetFile(path) as file:
            header = [name for name in file.schema_arrow.names if name != _INDEX]
            # Columns that are not asked for may hold whole videos: they are not read.
            rows = _rows(file, path=path, columns=[name for name in header if is_known(name)])
            yield from entries(path, header, rows, options=options, header_at=str(path))
    except PermissionError as error:
        refuse_unreadable(error)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is not a Parquet file ({error}): re-save it as Parquet.") from None


def _rows(file: Any, *, path: Path, columns: Sequence[str]) -> Iterator[Row]:
    number = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns, use_threads=False):
        for cells in batch.to_pylist():
            number += 1
            yield Row(where=f"{path} row {number}", cells=cells)
