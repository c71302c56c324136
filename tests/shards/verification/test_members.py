"""Members that were written wrong, in a shard whose hashes are right, are found too."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfm.shards.format.index import IndexRow, read_index
from vfm.shards.format.plan import Source
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.npy import to_npy
from vfm.shards.pixels.jpeg import encode
from vfm.shards.verification.finding import Finding
from vfm.shards.verification.members import check_members
from vfm.shards.writing.writer import ShardWriter


@pytest.fixture
def sample(source: Callable[..., Source], meta: Callable[..., SampleMeta]) -> SampleMeta:
    return meta(source("v1"), num_frames=1)


def check(folder: Path, members: dict[str, bytes], *, row: IndexRow, decode: bool = True) -> list[Finding]:
    """Write a shard of one sample ``v1`` and look into it."""
    with ShardWriter(folder, "000000") as writer:
        writer.add("v1", members, row=row)
        report = writer.commit(column=folder.name, fingerprint="f")
    index = read_index(folder / "000000.index.parquet", sha256=report.index_sha256 or "")
    return list(
        check_members(folder, report=report, index=index, classes=("run", "walk"), options={}, decode=decode)
    )


def test_a_sound_sample(sample: SampleMeta, tmp_path: Path) -> None:
    row = IndexRow(num_frames=1, class_index=0, split="train")
    assert check(tmp_path, {"json": sample.to_json(), "cls": b"0"}, row=row) == []


@pytest.mark.parametrize(
    "change", [{"key": "v2"}, {"labels": ("walk",)}, {"split": None}, {"num_frames": 2, "pts_s": (0.0, 1.0)}]
)
def test_metadata_that_is_not_the_indexs(sample: SampleMeta, tmp_path: Path, change: dict[str, Any]) -> None:
    row = IndexRow(num_frames=1, class_index=0, split="train")
    (finding,) = check(tmp_path, {"json": replace(sample, **change).to_json()}, row=row)
    assert (finding.file, finding.member) == (f"{tmp_path.name}/000000.tar", "v1.json")
    assert "for key, frames, class and split, and the index ('v1', 1, 0, 'train')" in finding.message


def test_metadata_that_is_no_json(tmp_path: Path) -> None:
    (finding,) = check(tmp_path, {"json": b"{"}, row=IndexRow(num_frames=1))
    assert "is not JSON" in finding.message


def test_a_class_that_is_not_the_labels(sample: SampleMeta, tmp_path: Path) -> None:
    row = IndexRow(num_frames=1, class_index=0, split="train")
    (finding,) = check(tmp_path, {"json": sample.to_json(), "cls": b"1"}, row=row)
    assert finding.message == "The .cls member beside it names another class."


def test_a_frame_that_does_not_decode(tmp_path: Path) -> None:
    jpeg = encode(np.zeros((16, 16, 3), np.uint8), quality=90)
    video = jpeg + jpeg[:40]
    row = IndexRow(num_frames=2, frame_offsets=[0, len(jpeg)], frame_sizes=[len(jpeg), 40])
    (finding,) = check(tmp_path, {"mp4": video}, row=row)
    assert (finding.member, finding.message.split(":")[0]) == ("v1.mp4", "Frame 1")
    assert check(tmp_path, {"mp4": video}, row=row, decode=False) == []


def test_frames_that_are_missing_from_the_index(tmp_path: Path) -> None:
    jpeg = encode(np.zeros((16, 16, 3), np.uint8), quality=90)
    row = IndexRow(num_frames=2, frame_offsets=[0], frame_sizes=[len(jpeg)])
    (finding,) = check(tmp_path, {"mp4": jpeg}, row=row)
    assert finding.message == "The index has 1 frames and 2 in its count."


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_arrays_that_are_not_finite(tmp_path: Path, value: float) -> None:
    members = {"feat.npy": to_npy(np.array([1.0, value], np.float16))}
    (finding,) = check(tmp_path, members, row=IndexRow(num_frames=1))
    assert (finding.member, finding.message) == ("v1.feat.npy", "It holds NaN or infinity.")
    assert check(tmp_path, {"feat.npy": to_npy(np.array([1.0]))}, row=IndexRow(num_frames=1)) == []


def test_arrays_that_are_none(tmp_path: Path) -> None:
    (finding,) = check(tmp_path, {"feat.npy": b"no array"}, row=IndexRow(num_frames=1))
    assert "v1.feat.npy is not an array" in finding.message
