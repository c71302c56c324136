"""The index survives as Parquet, proves itself, and joins with those of other shards."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vfm.shards.errors import DamageError
from vfm.shards.format.index import (
    IndexRow,
    Span,
    WrittenSample,
    concatenate,
    empty_index,
    read_index,
    write_index,
)
from vfm.shards.io.hashing import sha256_file


def span(offset: int, size_bytes: int) -> Span:
    return Span(offset=offset, size_bytes=size_bytes, crc32=(2**32 - 1 - offset) % 2**32)


def entry(key: str, *, at: int, num_frames: int) -> WrittenSample:
    return WrittenSample(
        key=key,
        row=IndexRow(num_frames=num_frames, class_index=num_frames - 1, split="train"),
        members={"json": span(at, 100), "mp4": span(at + 1024, 5000)},
        frames=tuple(span(at + 1100 + 10 * time, 10) for time in range(num_frames)),
    )


ENTRIES = [entry("a", at=512, num_frames=2), entry("bb", at=2**40, num_frames=3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "000000.index.parquet"


def test_round_trip(path: Path) -> None:
    index = read_index(path, sha256=write_index(path, ENTRIES))
    assert len(index) == 2
    assert index.keys.tolist() == [b"a", b"bb"]
    assert index.fields == ("json", "mp4")
    assert index.num_frames.tolist() == [2, 3]
    assert index.class_index.tolist() == [1, 2]
    assert index.split.tolist() == ["train", "train"]
    assert index.frame_splits.tolist() == [0, 2, 5]
    for row, one in enumerate(ENTRIES):
        assert {field: index.member(row, field) for field in index.fields} == one.members
        assert tuple(index.frame(row, time) for time in range(len(one.frames))) == one.frames


def test_dtypes_are_small_and_fixed(path: Path) -> None:
    index = read_index(path, sha256=write_index(path, ENTRIES))
    dtypes = {name: getattr(index, name).dtype.str for name in ("offsets", "sizes", "crcs", "num_frames")}
    assert dtypes == {"offsets": "<i8", "sizes": "<i8", "crcs": "<u4", "num_frames": "<i8"}
    frames = (index.frame_splits, index.frame_offsets, index.frame_sizes, index.frame_crcs)
    assert [array.dtype.str for array in frames] == ["<i8", "<i8", "<u4", "<u4"]


def test_columns_are_those_of_the_format(path: Path) -> None:
    write_index(path, ENTRIES)
    assert pq.read_schema(path).names == [
        *("key", "num_frames", "class_index", "split"),
        *("json_offset", "json_size", "json_crc32", "mp4_offset", "mp4_size", "mp4_crc32"),
        *("frame_offset", "frame_size", "frame_crc32"),
    ]


def test_same_entries_same_bytes(path: Path) -> None:
    first = write_index(path, ENTRIES)
    assert first == sha256_file(path) == write_index(path, ENTRIES)


def test_without_frames(path: Path) -> None:
    index = read_index(path, sha256=write_index(path, ENTRIES), with_frames=False)
    assert index.num_frames.tolist() == [2, 3]
    assert index.frame_splits.tolist() == [0, 0, 0]
    with pytest.raises(IndexError, match="frame 0 of 0"):
        index.frame(0, 0)


@pytest.mark.parametrize("time", [-1, 2])
def test_a_frame_that_is_not_there(path: Path, time: int) -> None:
    index = read_index(path, sha256=write_index(path, ENTRIES))
    with pytest.raises(IndexError, match=f"frame {time} of 2"):
        index.frame(0, time)
    with pytest.raises(KeyError, match="txt"):
        index.member(0, "txt")


def test_a_target_column_has_no_spans_of_frames(path: Path) -> None:
    one = WrittenSample(key="a", row=IndexRow(num_frames=4), members={"codes.npy": span(512, 9)})
    index = read_index(path, sha256=write_index(path, [one]))
    assert index.fields == ("codes.npy",)
    assert index.num_frames.tolist() == [4]
    assert index.class_index.tolist() == [-1]
    assert index.split.tolist() == [""]
    assert len(index.frame_offsets) == 0


def test_another_hash_is_refused(path: Path) -> None:
    write_index(path, ENTRIES)
    with pytest.raises(DamageError, match="does not match the hash in its shard's report: run `vfm inspect"):
        read_index(path, sha256="0" * 64)


def test_a_missing_index_is_damage(path: Path) -> None:
    with pytest.raises(DamageError, match="is missing although its shard is done: restore it"):
        read_index(path, sha256="0" * 64)


def test_shards_join_end_to_end(path: Path) -> None:
    one = read_index(path, sha256=write_index(path, ENTRIES))
    two = read_index(path, sha256=write_index(path, [entry("longer-key", at=512, num_frames=1)]))
    joined = concatenate([one, empty_index(one.fields), two])
    assert joined.keys.tolist() == [b"a", b"bb", b"longer-key"]
    assert joined.frame_splits.tolist() == [0, 2, 5, 6]
    assert joined.frame(2, 0) == two.frame(0, 0)
    assert joined.member(2, "mp4") == two.member(0, "mp4")
    np.testing.assert_array_equal(joined.offsets, np.concatenate([one.offsets, two.offsets]))
