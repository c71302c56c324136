"""Sealed Parquet has deterministic bytes and finds every flipped bit."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vfm.shards.errors import DamageError
from vfm.shards.io.parquet import parse_table, read_table, table_bytes

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
