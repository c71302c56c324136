"""Parquet files with deterministic bytes and a seal: a hash of the whole file inside its own footer."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from vfm.shards.errors import DamageError
from vfm.shards.io.hashing import sha256

_SEAL_KEY = b"vfm.self_sha256"
_BLANK = b"0" * 64
# In the footer a thrift string follows the key: field header, length 64 as a varint, then the value.
_SEAL = re.compile(re.escape(_SEAL_KEY) + rb".{1,4}?([0-9a-f]{64})", re.DOTALL)


def table_bytes(table: pa.Table, *, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return ``table`` as Parquet; the same table and pyarrow version give the same bytes.

    Args:
        table: its own metadata is left out.
        metadata: texts by name, which are in the metadata of the table that is read back.
    """
    texts = {name.encode(): text.encode() for name, text in (metadata or {}).items()}
    sink = pa.BufferOutputStream()
    schema = table.schema.remove_metadata()
    options = {"compression": "zstd", "write_statistics": False, "use_dictionary": False}
    with pq.ParquetWriter(sink, schema, store_schema=False, **options) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        # The seal comes last: it is found as the last of its kind.
        writer.add_key_value_metadata({**texts, _SEAL_KEY: _BLANK})
    data: bytes = sink.getvalue().to_pybytes()
    start, end = _find_seal(data)
    assert data[start:end] == _BLANK, "the Parquet writer stores metadata in another way"
    return data[:start] + sha256(data).encode() + data[end:]


def read_table(path: Path) -> pa.Table:
    """Return the table of a file that ``table_bytes`` made.

    Raises:
        DamageError: a single bit differs from what was written.
        FileNotFoundError: there is no such file.
    """
    data = path.read_bytes()
    start, end = _find_seal(data)
    blank = data[:start] + _BLANK + data[end:]
    if start == end or sha256(blank).encode() != data[start:end]:
        raise DamageError(f"{path} is damaged, it does not match the hash inside it: restore it from a copy.")
    return parse_table(data, name=str(path))


def parse_table(data: bytes, *, name: str, leave_out: Collection[str] = ()) -> pa.Table:
    """Return the table of Parquet bytes whose hash was compared before, without the columns left out.

    Raises:
        DamageError: they are not Parquet; calls them ``name``.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        columns = [column for column in file.schema_arrow.names if column not in leave_out]
        return file.read(columns=columns, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise no_table(name, why=str(error).partition("\n")[0]) from error


def check_columns(
    table: pa.Table, types: Mapping[str, pa.DataType], *, name: str, optional: Collection[str]
) -> None:
    """Refuse a table that has other columns, types or more nulls than were written.

    Args:
        table: what was read.
        types: of each column.
        name: what the DamageError calls the file.
        optional: columns whose values may be null.

    Raises:
        DamageError: naming the column.
    """
    there = dict(zip(table.column_names, table.schema.types, strict=True))
    for column in sorted(types.keys() | there.keys()):
        if there.get(column) != types.get(column):
            told = f"{there.get(column, 'absent')} and not {types.get(column, 'absent')}"
            raise no_table(name, why=f"column {column} is {told}")
    for column in types.keys() - set(optional):
        values = table.column(column)
        inner = values.combine_chunks().flatten() if pa.types.is_list(values.type) else values
        if values.null_count or inner.null_count:
            raise no_table(name, why=f"column {column} has gaps")


def numbers_of(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return the values of a column of numbers without gaps, read-only.

    pyarrow's own ``to_numpy`` imports pandas where it is installed, and what a signal raises in that half of
    a second is lost (pyarrow 26).
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.from_dlpack(array)


def no_table(name: str, *, why: str) -> DamageError:
    """Return the sentence about a file that is not a table of ours."""
    return DamageError(f"{name} is not a table that vfm wrote ({why}): restore it from a copy.")


def _find_seal(data: bytes) -> tuple[int, int]:
    """Return where the hash stands; an empty span at 0 when there is none."""
    found = list(_SEAL.finditer(data))
    return found[-1].span(1) if found else (0, 0)
