import errno
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vfm.shards.errors import DamageError, MachineError, UsageError
from vfm.shards.format.manifest import read_manifest
from vfm.shards.format.report import read_report
from vfm.shards.io.lock import hold
from vfm.shards.pixels.views import apply_view, centre
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.verification.finding import Finding
from vfm.shards.verification.verify import verify
from vfm.video2token.jobs.tokenize.job import ColumnResult
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import Arrays, TargetOptions
from vfm.video2token.targets.vq import VqTarget
from vfm.video2token.tokenizers.codebook.codebook import (
    Codebook,
    CodebookConfig,
    load_codebook,
    save_codebook,
)

Stills = Callable[..., Path]
OPTIONS = TargetOptions()
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def run(
    data: Path, codebook: Path, *, num_workers: int = 1, crop_px: int | None = None, **options: Any
) -> ColumnResult:
    how = TargetOptions(**options, own={} if crop_px is None else {"crop_px": crop_px})
    (result,) = tokenize(data, [f"vq:{codebook}"], how, num_workers=num_workers)
    return result


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every tar and index, and of nothing that holds a time."""
    paths = [*folder.glob("*.tar"), *folder.glob("*.parquet")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def damage(data: Path) -> list[Finding]:
    """Return what verification finds; the stills have no plan."""
    return [finding for finding in verify(data) if finding.file != "plan.parquet"]


def other_codebook(folder: Path, *, name: str = "tiny") -> Path:
    """Save a codebook with other weights."""
    folder.mkdir()
    codebook = Codebook(CodebookConfig(name=name, vocab_size=16))
    codebook.network.initialize(torch.Generator().manual_seed(9))
    save_codebook(codebook, folder)
    return folder


def test_codes_of_the_stored_frames_become_a_column(stills: Stills, tiny_codebook: Path) -> None:
    data = stills()
    result = run(data, tiny_codebook)
    assert (result.column, result.num_samples, result.num_frames) == ("vq.tiny", 6, 20)
    assert (result.num_frames_now, result.num_shards, result.num_shards_before) == (20, 2, 0)
    dataset = open_dataset(data, columns=("frames", "vq.tiny"))
    codebook = load_codebook(tiny_codebook)
    for index in range(6):
        codes = dataset.array(index, "vq.tiny", "codes")
        stored = np.stack(dataset.frames(index, range(int(dataset.num_frames[index]))))
        expected = codebook.encode(torch.from_numpy(apply_view(stored, centre(32)))).numpy()
        assert codes.dtype == np.uint8
        assert np.array_equal(codes, expected[None])
    assert damage(data) == []


def test_a_column_says_where_it_comes_from(stills: Stills, tiny_codebook: Path) -> None:
    data = stills()
    result = run(data, tiny_codebook)
    manifest = read_manifest(data)
    column = manifest.columns["vq.tiny"]
    assert (column.kind, column.fields) == ("vq", ("codes.npy",))
    assert column.source == manifest.columns["frames"].fingerprint
    assert column.options["weights_sha256"] == load_codebook(tiny_codebook).weights_sha256
    for shard in ("000000", "000001"):
        frames, report = read_report(data / "frames", shard), read_report(data / "vq.tiny", shard)
        assert frames is not None
        assert report is not None
        assert report.frames_sha256 == frames.sha256
        assert report.num_samples == frames.num_samples
        assert report.tools["device"] == "cpu"
    assert result.size_bytes == sum(path.stat().st_size for path in (data / "vq.tiny").glob("*.tar"))
    for file in ("codebook.safetensors", "config.json"):
        assert (data / "vq.tiny" / "codebook" / file).read_bytes() == (tiny_codebook / file).read_bytes()


def test_the_index_knows_class_and_split(stills: Stills, tiny_codebook: Path) -> None:
    data = stills()
    run(data, tiny_codebook)
    dataset = open_dataset(data, columns=("frames", "vq.tiny"))
    index = dataset._readers["vq.tiny"].index
    assert index.class_index.tolist() == dataset.class_indices.tolist() == [0, 1, 0, 1, 0, 1]
    assert index.split.tolist() == dataset.splits.tolist()
    assert index.num_frames.tolist() == dataset.num_frames.tolist()


def test_adding_a_column_touches_no_other(stills: Stills, tiny_codebook: Path) -> None:
    data = stills()
    run(data, tiny_codebook)
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for folder in ("frames", "vq.tiny")
        for path in (data / folder).rglob("*")
        if path.is_file()
    }
    columns = read_manifest(data).columns
    run(data, tiny_codebook, name="small", crop_px=16)
    for path, (mtime_ns, content) in before.items():
        assert (path.stat().st_mtime_ns, path.read_bytes()) == (mtime_ns, content)
    after = read_manifest(data).columns
    assert {name: after[name] for name in columns} == columns
    assert open_dataset(data, columns=("vq.small",)).array(0, "vq.small", "codes").shape == (1, 5, 2, 2)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_bytes_do_not_depend_on_the_batch(stills: Stills, tiny_codebook: Path, batch_size: int) -> None:
    data, other = stills(), stills("other")
    run(data, tiny_codebook)
    run(other, tiny_codebook, batch_size=batch_size)
    assert digests(data / "vq.tiny") == digests(other / "vq.tiny")
    assert len(digests(data / "vq.tiny")) == 4


def test_bytes_do_not_depend_on_the_workers(
    stills: Stills, tiny_codebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfm.video2token.target.Target.frames_per_worker", 1)
    monkeypatch.setattr("vfm.video2token.frame_target.PART_FRAMES", 4)
    data, other = stills(), stills("other")
    run(data, tiny_codebook)
    run(other, tiny_codebook, num_workers=2)
    assert digests(data / "vq.tiny") == digests(other / "vq.tiny")


def test_a_second_run_finds_everything_done(stills: Stills, tiny_codebook: Path) -> None:
    data = stills()
    run(data, tiny_codebook)
    times = {path: path.stat().st_mtime_ns for path in (data / "vq.tiny").glob("0*")}
    again = run(data, tiny_codebook)
    assert (again.num_frames_now, again.num_shards_before, again.num_frames) == (0, 2, 20)
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.parametrize("lost", ["000001.json", "000001.tar", "000001.index.parquet"])
def test_a_lost_file_is_made_again(stills: Stills, tiny_codebook: Path, lost: str) -> None:
    data = stills()
    run(data, tiny_codebook)
    before = digests(data / "vq.tiny")
    (data / "vq.tiny" / lost).unlink()
    again = run(data, tiny_codebook)
    assert again.num_shards_before == 1
    assert digests(data / "vq.tiny") == before
    assert damage(data) == []


def test_a_shard_without_samples_gets_a_report_alone(stills: Stills, tiny_codebook: Path) -> None:
    data = stills(empty_shards=1)
    assert run(data, tiny_codebook).num_shards == 3
    assert sorted(path.name for path in (data / "vq.tiny").glob("000002*")) == ["000002.json"]
    assert run(data, tiny_codebook).num_shards_before == 3
    assert len(open_dataset(data, columns=("vq.tiny",))) == 6


def test_a_fault_leaves_the_shards_that_were_done(
    stills: Stills, tiny_codebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, clean = stills(num_samples=12), stills("clean", num_samples=12)
    run(clean, tiny_codebook)

    class Stopping(VqTarget):
        def rows(self, dataset: Dataset, indices: Sequence[int]) -> Iterator[Arrays]:
            for index, arrays in zip(indices, super().rows(dataset, indices), strict=True):
                if index == 6:
                    raise KeyboardInterrupt
                yield arrays

    with monkeypatch.context() as patch:
        patch.setattr("vfm.video2token.targets.vq.VqTarget", Stopping)
        with pytest.raises(KeyboardInterrupt):
            run(data, tiny_codebook)
    assert sorted(path.name for path in (data / "vq.tiny").iterdir()) == [
        "000000.idx",
        "000000.index.parquet",
        "000000.json",
        "000000.tar",
        "000000.tar.idx",
        "codebook",
    ]
    with pytest.raises(UsageError, match="has 1 of 3 shards of column vq.tiny, tokenize has not finished"):
        open_dataset(data, columns=("vq.tiny",))
    assert run(data, tiny_codebook).num_shards_before == 1
    assert digests(data / "vq.tiny") == digests(clean / "vq.tiny")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"crop_px": 24}, "views crop 32 px there, crop 24 px requested"),
        ({"weights": True}, "weights_sha256 [0-9a-f]{12} there, [0-9a-f]{12} requested"),
    ],
)
def test_another_target_of_that_name_is_refused(
    stills: Stills, tiny_codebook: Path, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    data = stills()
    run(data, tiny_codebook)
    before = digests(data / "vq.tiny"), (data / "dataset.json").read_bytes()
    codebook = other_codebook(tmp_path / "b") if options.pop("weights", False) else tiny_codebook
    with pytest.raises(
        UsageError, match=rf"vq.tiny holds another column \({told}.*choose another --name, or"
    ):
        run(data, codebook, **{"crop_px": 32, **options})
    assert before == (digests(data / "vq.tiny"), (data / "dataset.json").read_bytes())
    run(data, codebook, **{"crop_px": 32, **options}, name="second")
    shutil.rmtree(data / "vq.tiny")
    run(data, codebook, **{"crop_px": 32, **options})
    assert damage(data) == []


def test_many_views_are_told_in_a_few_words(stills: Stills, tiny_codebook: Path) -> None:
    data = stills(size=(60, 40))
    run(data, tiny_codebook)
    told = r"\(views crop 32 px there, 12 views, the first crop 32 px requested\)"
    with pytest.raises(UsageError, match=f"vq.tiny holds another column {told}: choose another --name"):
        tokenize(data, [f"vq:{tiny_codebook}"], TargetOptions(own={"views": "vimpac12"}))


def test_codes_of_other_frames_are_refused(stills: Stills, tiny_codebook: Path) -> None:
    data, other = stills(), stills("other", num_frames=4)
    run(data, tiny_codebook)
    shutil.rmtree(data / "frames")
    shutil.copytree(other / "frames", data / "frames")
    with pytest.raises(UsageError, match=r"\(shard 000000 was computed from other frames; shard 000001"):
        run(data, tiny_codebook)


def test_shards_of_no_column_are_left_alone(stills: Stills, tiny_codebook: Path) -> None:
    data, other = stills(), stills("other")
    run(other, tiny_codebook)
    shutil.copytree(other / "vq.tiny", data / "vq.tiny")
    with pytest.raises(UsageError, match="its shards are of no column in the manifest"):
        run(data, tiny_codebook)


def test_frames_that_are_not_complete_are_refused(stills: Stills, tiny_codebook: Path) -> None:
    data = stills()
    (data / "frames" / "000001.json").unlink()
    with pytest.raises(UsageError, match="1 of 2 shards of column frames, extract has not finished"):
        run(data, tiny_codebook)
    assert not (data / "vq.tiny").exists()


def test_no_dataset_is_refused_and_stays_as_it_was(tmp_path: Path, tiny_codebook: Path) -> None:
    with pytest.raises(UsageError, match="is not a vfm dataset"):
        run(tmp_path, tiny_codebook)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_damaged_frame_is_named(
    stills: Stills, tiny_codebook: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    monkeypatch.setattr("vfm.video2token.target.Target.frames_per_worker", 1)
    data = stills()
    tar = data / "frames" / "000001.tar"
    content = bytearray(tar.read_bytes())
    content[content.index(b"\xff\xda") + 40] ^= 1
    tar.write_bytes(content)
    with pytest.raises(DamageError, match=r"still-004\.mp4 \(frame 0\) of column frames in .*000001\.tar"):
        run(data, tiny_codebook, num_workers=num_workers)
    assert not list((data / "vq.tiny").glob("000001*"))


def test_a_damaged_codebook_stops_before_anything(
    stills: Stills, tiny_codebook: Path, tmp_path: Path
) -> None:
    data = stills()
    book = Path(shutil.copytree(tiny_codebook, tmp_path / "book"))
    weights = bytearray((book / "codebook.safetensors").read_bytes())
    weights[-5] ^= 1
    (book / "codebook.safetensors").write_bytes(weights)
    with pytest.raises(DamageError, match="codebook.safetensors is damaged, its SHA-256 is not the one"):
        run(data, book)
    assert not (data / "vq.tiny").exists()


def test_two_jobs_do_not_write_to_one_dataset(stills: Stills, tiny_codebook: Path) -> None:
    data = stills()
    with hold(data), pytest.raises(MachineError, match="is being written by process"):
        run(data, tiny_codebook)


def test_two_targets_of_one_name_are_refused(stills: Stills, tiny_codebook: Path) -> None:
    spec = f"vq:{tiny_codebook}"
    with pytest.raises(UsageError, match=r"2 targets would all be column vq\.tiny"):
        tokenize(stills(), [spec, spec], OPTIONS)
    with pytest.raises(UsageError, match="2 columns cannot all be called 'a'"):
        tokenize(stills("b"), [spec, spec], TargetOptions(name="a"))


def test_two_targets_in_one_command(stills: Stills, tiny_codebook: Path, tmp_path: Path) -> None:
    data, other = stills(), other_codebook(tmp_path / "book", name="other")
    results = tokenize(data, [f"vq:{tiny_codebook}", f"vq:{other}"], TargetOptions(own={"crop_px": 32}))
    assert [result.column for result in results] == ["vq.tiny", "vq.other"]
    assert set(read_manifest(data).columns) == {"frames", "vq.tiny", "vq.other"}
    assert damage(data) == []


@pytest.mark.parametrize("nth", [3, 6, 8, 10])
def test_a_full_disk_leaves_whole_shards_alone(
    stills: Stills, tiny_codebook: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    data, clean = stills(), stills("clean")
    run(clean, tiny_codebook)
    calls = itertools.count(1)
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if next(calls) >= nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(MachineError, match="cannot be written .*run the same command again"):
            run(data, tiny_codebook)
    run(data, tiny_codebook)
    assert digests(data / "vq.tiny") == digests(clean / "vq.tiny")
    assert damage(data) == []


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_is_the_same(stills: Stills, tiny_codebook: Path) -> None:
    data, clean = stills(num_samples=64), stills("clean", num_samples=64)
    run(clean, tiny_codebook)
    command = [sys.executable, "-m", "vfm.cli", "tokenize", str(data), "--target", f"vq:{tiny_codebook}"]
    rng = np.random.default_rng(0)
    reached: set[int] = set()
    for _ in range(20):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        while process.poll() is None and not has_lock(data, process.pid):
            time.sleep(0.001)
        time.sleep(float(rng.uniform(0, 0.5)))
        process.kill()
        process.wait()
        num_done = len(list((data / "vq.tiny").glob("0*.json")))
        reached.add(num_done)
        if num_done == 16:
            shutil.rmtree(data / "vq.tiny")
    assert len(reached) > 3
    run(data, tiny_codebook)
    assert digests(data / "vq.tiny") == digests(clean / "vq.tiny")
    assert damage(data) == []
    assert not list((data / "vq.tiny").rglob(".*"))


def has_lock(data: Path, pid: int) -> bool:
    path = data / ".lock"
    return path.exists() and path.read_text().strip() == str(pid)
