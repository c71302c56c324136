"""Parquet tables: their texts, numbers and lists of these; columns of bytes are left unread."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import refuse_unreadable
from vfm.video2token.sources.lists.list_file import ListFile, Row, plain

_BATCH_ROWS = 4096
_INDEX = "__index_level_0__"  # what pandas adds to a table whose rows it has numbered


def read(path: Path) -> ListFile:
    """Return the list.

    Raises:
        UsageError: it is not such a table; the sentence names the row, counted from 1.
        MachineError: it may not be read.
    """
    with _opened(path) as file:
        names = [name for name in file.schema_arrow.names if name != _INDEX]
    return ListFile(path=path, columns={plain(name): name for name in names}, rows=lambda: _rows(path))


def _rows(path: Path) -> Iterator[Row]:
    number = 0
    with _opened(path) as file:
        # A column of bytes may hold whole videos.
        columns = [field.name for field in file.schema_arrow if field.name != _INDEX and _is_read(field)]
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns, use_threads=False):
            for cells in batch.to_pylist():
                number += 1
                row = {plain(name): cell for name, cell in cells.items()}
                yield Row(where=f"{path} row {number}", cells=row)


def _is_read(field: Any) -> bool:
    from pyarrow import types  # type: ignore[import-untyped]  # pyarrow ships no types

    return not (
        types.is_binary(field.type) or types.is_large_binary(field.type) or types.is_struct(field.type)
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except PermissionError as error:
        refuse_unreadable(error)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is not a Parquet file ({error}): re-save it as Parquet.") from None
