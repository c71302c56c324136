"""Parquet files with deterministic bytes and a seal: a hash of the whole file inside its own footer."""

import re
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from vfm.shards.atomic import sha256
from vfm.shards.errors import DamageError

_SEAL_KEY = b"vfm.self_sha256"
_BLANK = b"0" * 64
# In the footer a thrift string follows the key: field header, length 64 as a varint, then the value.
_SEAL = re.compile(re.escape(_SEAL_KEY) + rb".{1,4}?([0-9a-f]{64})", re.DOTALL)


def table_bytes(table: pa.Table) -> bytes:
    """Return ``table`` as Parquet; the same table and pyarrow version give the same bytes."""
    sink = pa.BufferOutputStream()
    schema = table.schema.remove_metadata()
    options = {"compression": "zstd", "write_statistics": False, "use_dictionary": False}
    with pq.ParquetWriter(sink, schema, store_schema=False, **options) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        writer.add_key_value_metadata({_SEAL_KEY: _BLANK})
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
    return parse_table(data)


def parse_table(data: bytes, *, leave_out: Collection[str] = ()) -> pa.Table:
    """Return the table of Parquet bytes that were checked before, without the columns left out."""
    file = pq.ParquetFile(pa.BufferReader(data))
    columns = [name for name in file.schema_arrow.names if name not in leave_out]
    return file.read(columns=columns, use_threads=False)


def _find_seal(data: bytes) -> tuple[int, int]:
    """Return where the hash stands; an empty span at 0 when there is none."""
    found = list(_SEAL.finditer(data))
    return found[-1].span(1) if found else (0, 0)
