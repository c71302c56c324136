"""Sealed Parquet has deterministic bytes and finds every flipped bit."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vfm.shards.errors import DamageError
from vfm.shards.io.parquet import numbers_of, parse_table, read_table, table_bytes

TABLE = pa.table({"key": ["a", "b"], "size": pa.array([1, 2**40]), "times": pa.array([[1, 2], []])})


def test_same_table_same_bytes() -> None:
    assert table_bytes(TABLE) == table_bytes(TABLE)


def test_any_parquet_reader_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(table_bytes(TABLE))
    assert pq.read_table(path).to_pydict() == TABLE.to_pydict()
    assert read_table(path).to_pydict() == TABLE.to_pydict()


def test_columns_can_be_left_out() -> None:
    assert parse_table(table_bytes(TABLE), name="t", leave_out=("times",)).column_names == ["key", "size"]


@pytest.mark.parametrize("dtype", [pa.int64(), pa.uint32()])
def test_numbers_are_those_of_the_column(dtype: pa.DataType) -> None:
    chunks = pa.chunked_array([[7], [], [2**31, 9]], dtype)
    for column in (chunks, chunks.combine_chunks(), chunks.slice(0)):
        found = numbers_of(column)
        assert found.tolist() == [7, 2**31, 9]
        assert found.dtype == dtype.to_pandas_dtype()
        assert not found.flags.writeable
    assert numbers_of(chunks[1:]).tolist() == [2**31, 9]
    assert numbers_of(pa.chunked_array([], dtype)).tolist() == []


def test_reading_does_not_load_pandas(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(table_bytes(TABLE))
    marker = tmp_path / "loaded"
    (tmp_path / "pandas.py").write_text(f"open({str(marker)!r}, 'w')")  # stands before an installed one
    code = (
        "import sys; from pathlib import Path; from vfm.shards.io.parquet import numbers_of, read_table; "
        "print(numbers_of(read_table(Path(sys.argv[1])).column('size'))[1])"
    )
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{2**40}\n"
    assert not marker.exists()


def test_flipped_bits_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    sound = table_bytes(TABLE)
    for bit in random.Random(0).sample(range(8 * len(sound)), 400):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamageError, match=r"a\.parquet is damaged"):
            read_table(path)


def test_a_table_without_seal_is_damaged(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    with pytest.raises(DamageError, match="does not match the hash inside it"):
        read_table(tmp_path / "a.parquet")
