"""A tar that its own hash vouches for is still compared with its index."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vfm.shards.format.index import Index, read_index
from vfm.shards.format.report import ShardReport, read_report
from vfm.shards.io.hashing import sha256_file
from vfm.shards.verification.tar import check_tar, members


@pytest.fixture
def folder(make_dataset: Callable[..., Path]) -> Path:
    return make_dataset() / "vq.demo"


@pytest.fixture
def report(folder: Path) -> ShardReport:
    report = read_report(folder, "000000")
    assert report is not None
    return report


@pytest.fixture
def index(folder: Path, report: ShardReport) -> Index:
    return read_index(folder / "000000.index.parquet", sha256=report.index_sha256 or "")


def test_members_are_in_the_order_of_the_tar(index: Index) -> None:
    names = [name for name, _ in members(index)]
    assert names == ["v0.codes.npy", "v7.codes.npy", "v1.codes.npy"]


def test_a_sound_tar(folder: Path, report: ShardReport, index: Index) -> None:
    assert list(check_tar(folder, report=report, index=index)) == []
    assert list(check_tar(folder, report=report, index=None)) == []


def test_an_index_of_other_members(folder: Path, report: ShardReport, index: Index) -> None:
    moved = replace(index, offsets=index.offsets + 1)
    (finding,) = check_tar(folder, report=report, index=moved)
    assert finding.message == "The members of the tar are not those of its index."


def test_a_tar_that_no_sample_explains(folder: Path, report: ShardReport) -> None:
    (finding,) = check_tar(folder, report=replace(report, sha256=None), index=None)
    assert finding.message == "The report counts no samples, but there is a tar."


def test_a_damaged_tar_without_an_index_is_at_least_named(folder: Path, report: ShardReport) -> None:
    path = folder / "000000.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert sha256_file(path) != report.sha256
    (finding,) = check_tar(folder, report=report, index=None)
    assert (finding.file, finding.message) == (
        "vq.demo/000000.tar",
        "Its SHA-256 is not the one in its report.",
    )
