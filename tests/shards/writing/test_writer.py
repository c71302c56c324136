"""Shards appear whole, with the same bytes each time, whatever happens to the writer."""

import errno
import hashlib
import io
import os
import random
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.format.index import IndexRow, read_index
from vfm.shards.format.rejection import Rejection
from vfm.shards.format.report import read_report
from vfm.shards.io.atomic import clean_stale
from vfm.shards.io.hashing import sha256_file
from vfm.shards.io.tar import member_header
from vfm.shards.writing.writer import ShardWriter

SAMPLES = [(f"k{i}", {"json": b"{}\n", "mp4": bytes([i]) * (700 + i)}, i + 1) for i in range(4)]


def write(folder: Path, *, shard: str = "000000") -> None:
    with ShardWriter(folder, shard) as writer:
        for key, members, num_frames in SAMPLES:
            row = IndexRow(num_frames=num_frames, frame_offsets=[10, 300], frame_sizes=[100, 400])
            writer.add(key, members, row=row)
        writer.commit(column=folder.name, fingerprint="f", num_partial=1, elapsed_s=2.5, tools={"a": "1"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "frames"


def test_report_and_index_say_what_is_in_the_tar(folder: Path) -> None:
    write(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("000000.idx", "000000.index.parquet", "000000.json", "000000.tar", "000000.tar.idx")
    ]
    report = read_report(folder, "000000")
    assert report is not None
    tar = (folder / "000000.tar").read_bytes()
    assert (report.num_samples, report.num_frames, report.num_partial) == (4, 10, 1)
    assert (report.size_bytes, report.sha256) == (len(tar), hashlib.sha256(tar).hexdigest())
    index = read_index(folder / "000000.index.parquet", sha256=report.index_sha256 or "")
    for row, (_, members, _) in enumerate(SAMPLES):
        for field, payload in members.items():
            span = index.member(row, field)
            assert tar[span.offset : span.offset + span.size_bytes] == payload
        start = index.member(row, "mp4").offset
        assert [index.frame(row, time).offset - start for time in (0, 1)] == [10, 300]
        assert [index.frame(row, time).size_bytes for time in (0, 1)] == [100, 400]


def test_the_stock_reader_reads_plain_members(folder: Path) -> None:
    write(folder)
    with tarfile.open(folder / "000000.tar") as tar:
        infos = tar.getmembers()
        payloads = [file.read() for info in infos if (file := tar.extractfile(info))]
    assert [info.name for info in infos] == [f"k{i}.{field}" for i in range(4) for field in ("json", "mp4")]
    assert payloads == [payload for _, members, _ in SAMPLES for payload in members.values()]
    facts = {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode, i.type) for i in infos}
    assert facts == {(0, 0, 0, "", "", 0o644, tarfile.REGTYPE)}
    assert all(info.pax_headers == {} for info in infos)


@pytest.mark.needs("webdataset")
@pytest.mark.filterwarnings("ignore")  # what webdataset warns of is not ours
def test_webdataset_reads_keys_and_members_in_order(make_dataset: Callable[..., Path]) -> None:
    import webdataset

    data = make_dataset(num_sources=5, samples_per_shard=5, rejected=())
    samples = list(webdataset.WebDataset(str(data / "frames" / "000000.tar"), shardshuffle=False))
    report = read_report(data / "frames", "000000")
    assert report is not None
    index = read_index(data / "frames" / "000000.index.parquet", sha256=report.index_sha256 or "")
    assert [sample["__key__"].encode() for sample in samples] == index.keys.tolist()
    assert [[name for name in sample if name[0] != "_"] for sample in samples] == [["json", "mp4", "cls"]] * 5
    tar = (data / "frames" / "000000.tar").read_bytes()
    for row, sample in enumerate(samples):
        for field in index.fields:
            span = index.member(row, field)
            assert sample[field] == tar[span.offset : span.offset + span.size_bytes]


@pytest.mark.needs("webdataset")
@pytest.mark.filterwarnings("ignore")  # what webdataset warns of is not ours
def test_webdataset_decodes_codes(make_dataset: Callable[..., Path]) -> None:
    import webdataset

    data = make_dataset(num_sources=2, rejected=())
    stream = webdataset.WebDataset(str(data / "vq.demo" / "000000.tar"), shardshuffle=False).decode()
    sample = next(iter(stream))
    assert sample["codes.npy"].dtype == np.uint16
    assert (sample["codes.npy"] == sum(sample["__key__"].encode())).all()


def test_same_samples_same_bytes_in_any_folder_at_any_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name)
        os.utime(tmp_path / name / "000000.tar", (1, 1))
    for file in ("000000.tar", "000000.index.parquet", "000000.tar.idx", "000000.idx"):
        assert sha256_file(tmp_path / "one" / file) == sha256_file(tmp_path / "two" / file)


def test_headers_are_ustar_and_long_names_pax() -> None:
    short = member_header("k.mp4", size_bytes=5)
    assert len(short) == 512
    assert short[257:265] == b"ustar\x0000"
    name = "k" * 120 + ".codes.npy"
    long = member_header(name, size_bytes=0)
    assert len(long) == 3 * 512
    with tarfile.open(fileobj=io.BytesIO(long + bytes(1024))) as tar:
        assert tar.getnames() == [name]


def test_leaving_without_commit_leaves_nothing(folder: Path) -> None:
    with ShardWriter(folder, "000000") as writer:
        writer.add("k", {"json": b"{}"}, row=IndexRow(num_frames=1))
    assert list(folder.iterdir()) == []


def test_an_error_leaves_nothing_and_passes(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), ShardWriter(folder, "000000"):
        raise RuntimeError("inside")
    assert list(folder.iterdir()) == []


def test_a_signal_just_as_the_file_was_made_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Path.open

    def interrupted(path: Path, mode: str) -> None:
        made(path, mode).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "open", interrupted)
    with pytest.raises(KeyboardInterrupt), ShardWriter(folder, "000000"):
        raise AssertionError
    assert list(folder.iterdir()) == []


def test_a_shard_without_samples_has_a_report_alone(folder: Path) -> None:
    rejected = (Rejection(key="a", source="a.mp4", reason="empty", message="Nothing.", tool="vfm"),)
    write(folder)
    with ShardWriter(folder, "000000") as writer:
        report = writer.commit(column="frames", fingerprint="f", rejected=rejected)
    assert [path.name for path in folder.iterdir()] == ["000000.json"]
    assert read_report(folder, "000000") == report
    assert (report.num_samples, report.size_bytes, report.sha256, report.index_sha256) == (0, 0, None, None)
    assert report.rejected == rejected


@pytest.mark.parametrize(
    ("key", "members", "message"),
    [("k0", {"json": b""}, "k0 twice"), ("k1", {"json": b"", "mp4": b""}, "fields differ")],
)
def test_our_own_bugs_are_caught(folder: Path, key: str, members: dict[str, bytes], message: str) -> None:
    with ShardWriter(folder, "000000") as writer:
        writer.add("k0", {"json": b""}, row=IndexRow(num_frames=1))
        with pytest.raises(AssertionError, match=message):
            writer.add(key, members, row=IndexRow(num_frames=1))


def test_a_frame_outside_its_video_is_caught(folder: Path) -> None:
    with ShardWriter(folder, "000000") as writer, pytest.raises(AssertionError, match="outside its video"):
        row = IndexRow(num_frames=1, frame_offsets=[3], frame_sizes=[3])
        writer.add("k0", {"mp4": b"12345"}, row=row)


@pytest.mark.parametrize("failing_call", range(10))
def test_a_full_disk_is_told_and_never_half_a_shard(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    calls = iter(range(100))
    sound = os.fsync

    def fsync(descriptor: int) -> None:
        if next(calls) == failing_call:
            raise OSError(errno.ENOSPC, "No space left on device")
        sound(descriptor)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device"):
        patch.setattr(os, "fsync", fsync)
        write(folder)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    # The last two fsyncs come with the report: from its rename on the shard is done.
    assert (read_report(folder, "000000") is not None) == (failing_call == 9)
    write(folder)
    assert read_report(folder, "000000") is not None


@pytest.fixture
def small_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_write_that_the_system_refuses_names_the_tar(folder: Path) -> None:
    with pytest.raises(OSError, match=r"000000\.tar"), ShardWriter(folder, "000000") as writer:
        writer.add("k", {"mp4": bytes(200_000)}, row=IndexRow(num_frames=1))
        writer.commit(column="frames", fingerprint="f")
    assert list(folder.iterdir()) == []


WRITE_SHARDS = """
import sys
from pathlib import Path
from vfm.shards.format.index import IndexRow
from vfm.shards.format.report import read_report
from vfm.shards.writing.writer import ShardWriter
folder = Path(sys.argv[1])
print("ready", flush=True)
for number in range(40):
    shard = f"{number:06d}"
    if read_report(folder, shard) is not None:
        continue
    with ShardWriter(folder, shard) as writer:
        for i in range(8):
            payload = bytes([number, i]) * 20_000
            row = IndexRow(num_frames=1, frame_offsets=[0], frame_sizes=[1000])
            writer.add(f"k{number}-{i}", {"json": b"{}", "mp4": payload}, row=row)
        writer.commit(column=folder.name, fingerprint="f")
"""


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in folder.iterdir() if path.suffix != ".json"}


def test_killed_at_random_moments_the_shards_are_those_of_a_run_never_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_SHARDS]
    subprocess.run([*command, str(tmp_path / "clean")], check=True, stdout=subprocess.DEVNULL)
    folder = tmp_path / "killed"
    folder.mkdir()
    moments = random.Random(0)
    for _ in range(6):
        with subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, text=True) as job:
            assert job.stdout is not None
            job.stdout.readline()
            time.sleep(moments.uniform(0, 0.15))
            job.send_signal(signal.SIGKILL)
        for path in folder.glob("[0-9]*.json"):
            report = read_report(folder, path.stem)
            assert report is not None
            assert sha256_file(folder / f"{path.stem}.tar") == report.sha256
            assert sha256_file(folder / f"{path.stem}.index.parquet") == report.index_sha256
    subprocess.run([*command, str(folder)], check=True, stdout=subprocess.DEVNULL)
    clean_stale(folder)
    assert hashes(folder) == hashes(tmp_path / "clean")


def test_no_report_vouches_for_a_shard_that_is_written_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    write(folder)
    monkeypatch.setattr("vfm.shards.writing.writer.write_index", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write(folder)
    assert (folder / "000000.tar").exists()  # the new one, with the index of the old one
    assert read_report(folder, "000000") is None
