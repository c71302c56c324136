"""Bytes are checked before they are used, and maps are bounded."""

import pickle
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from vfm.shards.errors import DamageError
from vfm.shards.format.index import read_index
from vfm.shards.format.layout import index_path
from vfm.shards.open_files import max_open_shards
from vfm.shards.reading.column import ColumnReader
from vfm.shards.reading.join import read_reports


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


def num_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_maps_are_bounded_and_bytes_outlive_them(
    reader: ColumnReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_max_open", 2)
    before = num_descriptors()
    first = reader.member(0, "json")
    held = [first, *(reader.member(row, "json") for row in (3, 0, 6))]
    assert list(reader._maps) == [0, 2]
    held += [reader.member(3, "json"), reader.member(6, "json")]
    assert list(reader._maps) == [1, 2]
    held += [reader.frame(row, 0) for row in (0, 3, 6, 9)]
    assert num_descriptors() - before == 2  # whatever is still held
    assert bytes(first) == bytes(reader.member(0, "json"))
    assert all(view.readonly for view in held)


def test_maps_are_as_many_as_the_limit_of_open_files_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {4: 1, 128: 16, 1024: 128, 20_000: 128, resource.RLIM_INFINITY: 128}
    for soft, expected in limits.items():
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert max_open_shards() == expected


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


def test_a_mapped_member_is_compared_with_its_checksum_once(data: Path, reader: ColumnReader) -> None:
    span = reader.index.member(1, "json")
    tar = data / "frames" / "000000.tar"
    assert bytes(reader.mapped(1, "json")) == bytes(reader.member(1, "json"))
    flip(tar, at=span.offset)
    fresh = pickle.loads(pickle.dumps(reader))
    with pytest.raises(DamageError, match="does not match its checksum"):
        reader.member(1, "json")
    reader.mapped(1, "json")  # has been looked at
    other = reader.index.member(0, "json")
    flip(tar, at=other.offset + 1)
    for one in (reader, fresh):
        with pytest.raises(DamageError, match=r"\.json of column frames in .*000000\.tar does not match"):
            one.mapped(0, "json")
    with pytest.raises(KeyError):
        reader.mapped(0, "png")


def test_a_mapped_member_is_not_copied(reader: ColumnReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_max_open", 2)  # of four shards: `member` copies
    before = num_descriptors()
    for row in (0, 3, 6, 9, 0):
        assert type(reader.mapped(row, "json").obj).__name__ == "mmap"
    assert num_descriptors() - before <= 2
