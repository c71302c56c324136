"""Bytes are checked before they are used, and maps are bounded."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from vfm.shards import column
from vfm.shards.column import ColumnReader
from vfm.shards.errors import DamageError
from vfm.shards.index import read_index
from vfm.shards.join import read_reports
from vfm.shards.manifest import index_path


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Path:
    return make_dataset(num_sources=10, samples_per_shard=3, rejected=())


@pytest.fixture
def reader(data: Path) -> ColumnReader:
    reports = read_reports(data, column="frames", num_shards=4)
    folder = data / "frames"
    indexes = [read_index(index_path(folder, r.shard), sha256=r.index_sha256 or "") for r in reports]
    return ColumnReader(folder, reports=reports, indexes=indexes)


def flip(path: Path, *, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_rows_count_through_the_shards(reader: ColumnReader) -> None:
    assert [reader.shard_of(row) for row in (0, 2, 3, 8, 9)] == [
        "000000",
        "000000",
        "000001",
        "000002",
        "000003",
    ]


def test_nothing_is_open_before_the_first_read_and_after_pickling(reader: ColumnReader) -> None:
    assert not reader._maps
    text = bytes(reader.member(9, "json"))
    assert list(reader._maps) == [3]
    copy = pickle.loads(pickle.dumps(reader))
    assert not copy._maps
    assert bytes(copy.member(9, "json")) == text


def test_maps_are_bounded_and_bytes_outlive_them(
    reader: ColumnReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column, "_MAX_OPEN_SHARDS", 2)
    first = reader.member(0, "json")
    for row in (3, 0, 6):
        reader.member(row, "json")
    assert list(reader._maps) == [0, 2]
    reader.member(3, "json")
    reader.member(6, "json")
    assert list(reader._maps) == [1, 2]
    assert bytes(first) == bytes(reader.member(0, "json"))


def test_bytes_are_read_only(reader: ColumnReader) -> None:
    assert reader.member(0, "json").readonly
    assert reader.frame(0, 0).readonly


@pytest.mark.parametrize("field", ["json", "mp4", "cls"])
def test_a_flipped_bit_names_key_column_and_shard(data: Path, reader: ColumnReader, field: str) -> None:
    row = 4
    path = data / "frames" / "000001.tar"
    flip(path, at=reader.index.member(row, field).offset)
    key = reader.index.keys[row].decode()
    place = rf"{key}\.{field} of column frames in .*000001\.tar"
    expected = f"{place} does not match its checksum: run `vfm inspect .*data --verify`"
    with pytest.raises(DamageError, match=expected):
        reader.member(row, field)


def test_a_flipped_frame_is_found_and_the_others_are_read(data: Path, reader: ColumnReader) -> None:
    row = next(row for row in range(10) if reader.index.num_frames[row] >= 3)
    path = data / "frames" / f"{reader.shard_of(row)}.tar"
    flip(path, at=reader.index.frame(row, 1).offset + 20)
    assert len(reader.frame(row, 0)) == reader.index.frame(row, 0).size_bytes
    with pytest.raises(DamageError, match=r"mp4 \(frame 1\) of column frames"):
        reader.frame(row, 1)
    reader.frame(row, 2)


@pytest.mark.parametrize("change", ["cut", "grown", "gone"])
def test_a_tar_of_another_size_is_refused(data: Path, reader: ColumnReader, change: str) -> None:
    path = data / "frames" / "000000.tar"
    tar = path.read_bytes()
    path.unlink()
    if change != "gone":
        path.write_bytes(tar[:-512] if change == "cut" else tar + b"\0")
    with pytest.raises(
        DamageError, match=r"bytes where its report says \d+: restore it .* delete 000000\.json"
    ):
        reader.member(0, "json")
