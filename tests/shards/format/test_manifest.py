"""Manifest, reports and quarantine survive and prove themselves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.manifest import (
    Column,
    Manifest,
    fingerprint_of,
    make_column,
    read_manifest,
    write_manifest,
)
from vfm.shards.format.quarantine import write_quarantine
from vfm.shards.format.rejection import Rejection
from vfm.shards.format.report import ShardReport, read_report, write_report
from vfm.shards.io.hashing import sha256
from vfm.shards.io.sealed import read_sealed, write_sealed

REJECTION = Rejection(key="a", source="a.mp4", reason="empty", message="It has 0 bytes.", tool="vfm")


@pytest.fixture
def manifest() -> Manifest:
    column = make_column("frames", kind="frames", fields=("json", "mp4"), options={"fps": 2.0}, source=None)
    return Manifest(
        plan_sha256="p", num_sources=3, num_shards=1, classes=("a", "b"), columns={"frames": column}
    )


@pytest.fixture
def report() -> ShardReport:
    return ShardReport(
        shard="000000",
        column="frames",
        fingerprint="f",
        num_samples=2,
        num_frames=7,
        size_bytes=10,
        sha256="s",
        index_sha256="i",
        rejected=(REJECTION,),
        elapsed_s=0.25,
        tools={"av": "18"},
    )


def test_manifest_round_trip(manifest: Manifest, tmp_path: Path) -> None:
    codes = make_column("vq.x", kind="vq", fields=("codes.npy",), options={}, source="f")
    write_manifest(tmp_path, manifest.with_column(codes))
    assert read_manifest(tmp_path) == replace(manifest, columns={**manifest.columns, "vq.x": codes})


def test_a_folder_that_is_no_dataset_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a vfm dataset: make one with `vfm extract VIDEOS"):
        read_manifest(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="is not a vfm dataset"):
        read_manifest(tmp_path / "file")


def test_a_newer_format_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    write_manifest(tmp_path, replace(manifest, format_version=2))
    with pytest.raises(UsageError, match="has format 2 and this vfm reads format 1"):
        read_manifest(tmp_path)


def test_an_edited_manifest_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest)
    path = tmp_path / "dataset.json"
    path.write_text(path.read_text().replace('"fps": 2.0', '"fps": 4.0'))
    with pytest.raises(DamageError, match=r"dataset\.json is damaged"):
        read_manifest(tmp_path)


def test_a_sealed_manifest_with_other_fields_is_damaged(manifest: Manifest, tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest)
    value = read_sealed(tmp_path / "dataset.json")
    del value["classes"]
    write_sealed(tmp_path / "dataset.json", value)
    with pytest.raises(DamageError, match="classes"):
        read_manifest(tmp_path)


def test_fingerprint_is_over_kind_options_and_source() -> None:
    expected = sha256(b'{"kind":"vq","options":{"a":1},"source":"s"}\n')
    assert fingerprint_of("vq", options={"a": 1}, source="s") == expected
    assert fingerprint_of("vq", options={"a": 2}, source="s") != expected
    assert fingerprint_of("vq", options={"a": 1}, source=None) != expected


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "-x", "a b"])
def test_a_column_name_is_a_folder_name(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a folder"):
        Column(name=name, kind="vq", fields=(), options={}, fingerprint="", source=None)


def test_report_round_trip(report: ShardReport, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    assert read_report(folder, "000000") is None
    write_report(folder, report)
    assert read_report(folder, "000000") == report


def test_a_report_in_another_place_is_refused(report: ShardReport, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    write_report(folder, report)
    (folder / "000000.json").rename(folder / "000001.json")
    with pytest.raises(DamageError, match="is the report of frames/000000: put it back"):
        read_report(folder, "000001")


def test_a_report_with_other_fields_is_damaged(tmp_path: Path) -> None:
    write_sealed(tmp_path / "000000.json", {"shard": "000000"})
    with pytest.raises(DamageError, match="lacks the key column"):
        read_report(tmp_path, "000000")


def test_quarantine_is_what_the_reports_say(make_dataset: Callable[..., Path]) -> None:
    data = make_dataset(rejected=("v6", "v1"))
    path = data / "quarantine.jsonl"
    first = path.read_bytes()
    assert first.count(b"\n") == 2
    assert b'{"key":"v6","message":"No picture in it.","reason":"no_video","source":"videos/v6.mp4"' in first
    path.unlink()
    assert write_quarantine(data) == 2
    assert path.read_bytes() == first
