import errno
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from support.media import number_in
from vfm.shards.errors import MachineError, UsageError
from vfm.shards.format.manifest import read_manifest, write_manifest
from vfm.shards.format.plan import build_plan, read_plan
from vfm.shards.format.report import read_report
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.lock import hold
from vfm.shards.io.parquet import table_bytes
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.verify import verify
from vfm.video2token.jobs.extract import extract as module
from vfm.video2token.jobs.extract import job
from vfm.video2token.jobs.extract.extract import ExtractResult, extract, extract_sources
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sources.listing import list_sources

Film = Callable[..., Path]
OPTIONS = ExtractOptions(fps=5.0, size_px=48)


def run(inputs: Path, data: Path, options: ExtractOptions = OPTIONS, **job: Any) -> ExtractResult:
    return extract([inputs], data, options, **{"samples_per_shard": 3, **job})


def stored(data: Path) -> dict[str, bytes]:
    """Return the bytes that must not depend on how they came about: tars, indexes, plan, quarantine."""
    names = ("*.tar", "*.index.parquet", "*.idx", ".nv-meta/*", "plan.parquet", "quarantine.jsonl")
    return {path.name: path.read_bytes() for name in names for path in sorted(data.rglob(name))}


class Recorder:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.total, self.counts, self.notes, self.is_finished = (
            0,
            {"ok": 0, "partial": 0, "rejected": 0},
            [],
            False,
        )

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        self.total = total

    def advance(self, *, num_frames: int = 0, note: str = "", **counts: int) -> None:
        for name, count in counts.items():
            self.counts[name] += count
        self.notes += [note] if note else []

    def finish(self) -> None:
        self.is_finished = True


def test_samples_are_what_the_videos_show(films: Film, tmp_path: Path) -> None:
    result = run(films(7), tmp_path / "data")
    assert (result.num_sources, result.num_ok, result.num_shards) == (7, 7, 3)
    dataset = open_dataset(tmp_path / "data")
    assert len(dataset) == 7
    for index in range(7):
        meta = dataset.meta(index)
        first = 5 * int(meta.source.removesuffix(".mp4")[-3:])
        frames = dataset.frames(index, range(meta.num_frames))
        shown = [number_in(frame) - first for frame in frames]
        assert shown == [0, 5, 10, 15, 20][: meta.num_frames]
        assert meta.pts_s == pytest.approx([number / 25 for number in shown])
        assert meta.outcome == "ok"
    assert result.num_frames == sum(dataset.num_frames)
    assert list(verify(tmp_path / "data")) == []


def test_members_stand_in_their_order_and_carry_labels_and_captions(films: Film, tmp_path: Path) -> None:
    root = films(4)
    rows = [
        "a/000.mp4,walk,train,one",
        "b/001.mp4,run,val,",
        "a/002.mp4,,,zwei ü",
        "b/003.mp4,walk,train,four",
    ]
    (root / "list.csv").write_text("\n".join(["path,label,split,caption", *rows]))
    run(root / "list.csv", tmp_path / "data", samples_per_shard=9)
    with tarfile.open(tmp_path / "data" / "frames" / "000000.tar") as tar:
        names = [member.name for member in tar]
        texts = {name: tar.extractfile(name).read() for name in names if not name.endswith("mp4")}  # type: ignore[union-attr]
    assert [name.rpartition(".")[2] for name in names] == ["json", "mp4", "cls", "txt"] * 4
    assert read_manifest(tmp_path / "data").classes == ("run", "walk")
    metas = [SampleMeta.from_json(data) for name, data in texts.items() if name.endswith("json")]
    by_source = {
        meta.source: (texts[f"{meta.key}.cls"], texts[f"{meta.key}.txt"], meta.split) for meta in metas
    }
    assert by_source == {
        "a/000.mp4": (b"1", b"one", "train"),
        "b/001.mp4": (b"0", b"", "val"),
        "a/002.mp4": (b"-1", "zwei ü".encode(), None),
        "b/003.mp4": (b"1", b"four", "train"),
    }
    dataset = open_dataset(tmp_path / "data", select_split="train")
    assert len(dataset) == 2


def test_every_source_is_in_one_shard_or_in_quarantine(films: Film, tmp_path: Path) -> None:
    root = films(6)
    (root / "a" / "empty.mp4").write_bytes(b"")
    (root / "a" / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(9999))
    (root / "b" / "list.mp4").write_text("#EXTM3U\na/000.mp4\n")
    (root / "b" / "gone.mp4").symlink_to("nowhere")
    recorder = Recorder()
    result = run(root, tmp_path / "data", progress=recorder)
    assert result.rejected_by_reason == {"empty": 1, "missing": 1, "not_video": 1, "playlist": 1}
    assert (result.num_ok, result.num_rejected, result.num_sources) == (6, 4, 10)
    assert recorder.counts == {"ok": 6, "partial": 0, "rejected": 4}
    assert recorder.total == 10
    assert recorder.is_finished
    lines = [json.loads(line) for line in (tmp_path / "data" / "quarantine.jsonl").read_text().splitlines()]
    assert {line["source"]: line["reason"] for line in lines} == {
        "a/empty.mp4": "empty", "a/noise.mkv": "not_video", "b/list.mp4": "playlist", "b/gone.mp4": "missing",
    }  # fmt: skip
    planned = {source.key for source in read_plan(tmp_path / "data" / "plan.parquet").sources}
    kept = set(open_dataset(tmp_path / "data").keys)
    assert kept | {line["key"] for line in lines} == planned
    assert len(kept) + len(lines) == len(planned)


def test_shard_whose_sources_were_all_rejected_is_done(tmp_path: Path) -> None:
    root = tmp_path / "films"
    root.mkdir()
    for index in range(4):
        (root / f"{index}.mp4").write_bytes(b"")
    result = run(root, tmp_path / "data", samples_per_shard=4)
    assert (result.num_rejected, result.num_frames, result.size_bytes) == (4, 0, 0)
    report = read_report(tmp_path / "data" / "frames", "000000")
    assert report is not None
    assert report.num_samples == 0
    assert list((tmp_path / "data" / "frames").glob("*.tar")) == []
    assert run(root, tmp_path / "data", samples_per_shard=4).num_shards_before == 1


def test_same_bytes_for_any_number_of_workers(films: Film, tmp_path: Path) -> None:
    root = films(8)
    (root / "a" / "empty.mp4").write_bytes(b"")
    run(root, tmp_path / "one", num_workers=1)
    run(root, tmp_path / "three", num_workers=3)
    assert len(stored(tmp_path / "one")) == 17
    assert stored(tmp_path / "one") == stored(tmp_path / "three")


def test_same_bytes_wherever_the_videos_are(films: Film, tmp_path: Path) -> None:
    root = films(3)
    run(root, tmp_path / "one")
    root.rename(tmp_path / "elsewhere")
    run(tmp_path / "elsewhere", tmp_path / "two")
    one, two = stored(tmp_path / "one"), stored(tmp_path / "two")
    del one["plan.parquet"], two["plan.parquet"]  # it says where the videos are
    assert one == two
    assert str(tmp_path).encode() not in b"".join(two.values())


def test_finished_job_does_nothing_again(
    films: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = films(4)
    first = run(root, tmp_path / "data")
    monkeypatch.setattr(job, "ProcessExecutor", None)
    recorder = Recorder()
    again = run(root, tmp_path / "data", progress=recorder)
    assert (again.num_ok, again.num_shards_before) == (4, 2)
    assert (again.num_frames, again.size_bytes) == (first.num_frames, first.size_bytes)
    assert recorder.counts["ok"] == 4


def test_only_missing_shards_are_made_again(films: Film, tmp_path: Path) -> None:
    root = films(7)
    run(root, tmp_path / "data")
    before = stored(tmp_path / "data")
    frames = tmp_path / "data" / "frames"
    kept = (frames / "000000.tar").stat().st_mtime_ns
    (frames / "000001.json").unlink()
    (frames / "000001.tar").write_bytes(b"half")
    (frames / ".000002.tar.tmp-1").write_bytes(b"left by a killed job")
    result = run(root, tmp_path / "data")
    assert result.num_shards_before == 2
    assert stored(tmp_path / "data") == before
    assert (frames / "000000.tar").stat().st_mtime_ns == kept
    assert list(frames.glob(".*")) == [frames / ".nv-meta"]


@pytest.mark.parametrize(
    ("options", "job", "told"),
    [
        ({"fps": 4.0}, {}, r"fps 5\.0 there, 4\.0 requested"),
        (
            {"size_px": 64, "quality": 80},
            {},
            r"size_px 48 there, 64 requested; quality 90 there, 80 requested",
        ),
        ({"max_frames": 7}, {}, "max_frames 36000 there, 7 requested"),
        ({}, {"samples_per_shard": 2}, "samples_per_shard 3 there, 2 requested"),
    ],
)
def test_other_options_are_refused_by_name(
    films: Film, tmp_path: Path, options: dict[str, Any], job: dict[str, Any], told: str
) -> None:
    root = films(3)
    run(root, tmp_path / "data")
    before = stored(tmp_path / "data")
    with pytest.raises(UsageError, match=told + ".*repeat those, or choose another output"):
        run(root, tmp_path / "data", ExtractOptions(**{"fps": 5.0, "size_px": 48, **options}), **job)
    assert stored(tmp_path / "data") == before


def test_options_that_change_no_byte_may_change(films: Film, tmp_path: Path) -> None:
    root = films(2)
    run(root, tmp_path / "data")
    other = ExtractOptions(fps=5.0, size_px=48, timeout_s=5.0, memory_bytes=1 << 30)
    assert run(root, tmp_path / "data", other, num_workers=2).num_shards_before == 1


def test_other_sources_are_refused_by_name(films: Film, film: Film, tmp_path: Path) -> None:
    root = films(3)
    run(root, tmp_path / "data")
    film("films/a/new.mp4", num_frames=3)
    told = r"the first a/new\.mp4\): repeat those, or choose another output for the new ones alone, as"
    with pytest.raises(UsageError, match=told):
        run(root, tmp_path / "data")
    (root / "a" / "new.mp4").unlink()
    (root / "a" / "000.mp4").unlink()
    with pytest.raises(UsageError, match=r"1 source there and not requested, the first a/000\.mp4"):
        run(root, tmp_path / "data")
    film("films/a/000.mp4", num_frames=3)
    with pytest.raises(UsageError, match=r"size_bytes of a/000\.mp4 \d+ there, \d+ requested"):
        run(root, tmp_path / "data")


def test_other_labels_are_refused_by_name(films: Film, tmp_path: Path) -> None:
    root = films(2)
    (root / "l.csv").write_text("path,label\na/000.mp4,x\nb/001.mp4,y\n")
    run(root / "l.csv", tmp_path / "data")
    (root / "l.csv").write_text("path,label\na/000.mp4,x\nb/001.mp4,x\n")
    with pytest.raises(UsageError, match=r"labels of b/001\.mp4 'y' there, 'x' requested"):
        run(root / "l.csv", tmp_path / "data")


def listed_with_integers(root: Path, num_films: int) -> Path:
    lines = [f"{'ab'[i % 2]}/{i:03d}.mp4 {i}" for i in range(num_films)]
    (root / "l.txt").write_text("\n".join(lines))
    return root / "l.txt"


def cls_by_label(data: Path) -> dict[str, int]:
    """Return the number in each KEY.cls by the label in its KEY.json."""
    found = {}
    for path in sorted((data / "frames").glob("*.tar")):
        with tarfile.open(path) as tar:
            texts = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        metas = [SampleMeta.from_json(data) for name, data in texts.items() if name.endswith(".json")]
        found |= {str(meta.label): int(texts[f"{meta.key}.cls"]) for meta in metas}
    return found


def test_integer_labels_are_what_cls_holds_also_in_a_job_that_goes_on(films: Film, tmp_path: Path) -> None:
    data, path = tmp_path / "data", listed_with_integers(films(12, num_frames=3), 12)
    run(path, data)
    before = stored(data)
    assert cls_by_label(data) == {str(i): i for i in range(12)}
    assert read_manifest(data).classes == tuple(map(str, range(12)))
    (data / "frames" / "000001.json").unlink()
    assert run(path, data).num_shards_before == 3
    assert stored(data) == before
    assert list(verify(data)) == []


def test_classes_keep_the_order_that_is_given(films: Film, tmp_path: Path) -> None:
    data, path = tmp_path / "data", listed_with_integers(films(3, num_frames=3), 3)
    sources = list_sources([path], missing="error").sources
    extract_sources(sources, data, OPTIONS, classes=("2", "unused", "0", "1"))
    assert cls_by_label(data) == {"0": 2, "1": 3, "2": 0}
    assert open_dataset(data).classes == ("2", "unused", "0", "1")
    assert list(verify(data)) == []
    assert extract_sources(sources, data, OPTIONS, classes=["2", "unused", "0", "1"]).num_shards_before == 1


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        ((), r"\(class 0 '2' there, '0' requested\)"),
        (("2", "0", "1"), r"\(class 1 'unused' there, '0' requested\)"),
        (("2", "unused", "0", "1", "7"), r"\(4 classes there, 5 requested\)"),
    ],
)
def test_other_classes_are_refused_by_name(
    films: Film, tmp_path: Path, classes: tuple[str, ...], told: str
) -> None:
    data, path = tmp_path / "data", listed_with_integers(films(3, num_frames=3), 3)
    sources = list_sources([path], missing="error").sources
    extract_sources(sources, data, OPTIONS, classes=("2", "unused", "0", "1"))
    before = stored(data)
    with pytest.raises(UsageError, match=f"begun with other options or sources {told}: repeat those"):
        extract_sources(sources, data, OPTIONS, classes=classes)
    assert stored(data) == before


def test_a_dataset_from_before_classes_had_an_order_is_read_and_not_gone_on_with(
    films: Film, tmp_path: Path
) -> None:
    data, path = tmp_path / "data", listed_with_integers(films(11, num_frames=3), 11)
    as_texts = ("0", "1", "10", *map(str, range(2, 10)))
    sources = list_sources([path], missing="error").sources
    plan = replace(build_plan(sources, samples_per_shard=256), classes=as_texts)
    extract_sources(sources, data, OPTIONS, classes=as_texts)
    table = pq.read_table(data / "plan.parquet")
    (data / "plan.parquet").write_bytes(table_bytes(table))  # as the older version wrote it
    assert read_manifest(data).plan_sha256 == read_plan(data / "plan.parquet").sha256 == plan.sha256
    assert list(verify(data)) == []
    assert cls_by_label(data)["10"] == 2
    assert extract_sources(sources, data, OPTIONS, classes=as_texts).num_shards_before == 1
    with pytest.raises(UsageError, match=r"\(class 2 '10' there, '2' requested\)"):
        run(path, data, samples_per_shard=256)


def test_verify_finds_classes_that_are_not_the_plans(films: Film, tmp_path: Path) -> None:
    data, path = tmp_path / "data", listed_with_integers(films(3, num_frames=3), 3)
    run(path, data)
    write_manifest(data, replace(read_manifest(data), classes=("1", "0", "2")))
    told = [finding.message for finding in verify(data)]
    assert told[0] == "Its sources, shards or classes are not the plan's."
    assert len(told) > 1


def test_output_that_is_something_else_is_left_alone(films: Film, tmp_path: Path) -> None:
    root = films(1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"mine holds thesis\.tex and is not a vfm dataset"):
        run(root, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    for path in (tmp_path / "mine" / "thesis.tex", tmp_path / "mine" / "thesis.tex" / "data"):
        with pytest.raises(UsageError, match="is or lies in a file, not a folder"):
            run(root, path)


def test_video_that_changes_after_the_plan_is_rejected(films: Film, tmp_path: Path) -> None:
    sources = list_sources([films(2)], missing="error").sources
    Path(sources[0].path).write_bytes(b"something else")
    result = extract_sources(sources, tmp_path / "data", OPTIONS)
    assert result.rejected_by_reason == {"changed": 1}


@pytest.mark.slow
def test_video_that_takes_too_much_memory_is_rejected_and_never_shortened(film: Film, tmp_path: Path) -> None:
    # each of 8 pictures that are referred to takes 50 MB, and so does each of those in hand
    options = {"preset": "ultrafast", "bf": "0", "x264-params": "ref=8:rc-lookahead=0:threads=1"}
    path = film("big.mp4", num_frames=12, fps=5, size=(8192, 4096), options=options)
    result = run(path, tmp_path / "data", ExtractOptions(fps=5.0, size_px=48, memory_bytes=1 << 29))
    assert result.rejected_by_reason == {"memory": 1}


def test_second_job_on_one_output_is_refused_with_the_pid(films: Film, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (
        hold(tmp_path / "data"),
        pytest.raises(MachineError, match=f"being written by process {os.getpid()}"),
    ):
        run(films(1), tmp_path / "data")


def test_read_only_output_is_refused_before_any_decoding(
    films: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    root = films(1)
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(job, "ProcessExecutor", None)
    with pytest.raises(MachineError, match=r"data cannot be written \(Read-only file system\): fix this"):
        run(root, tmp_path / "data")


@pytest.mark.parametrize("failing_call", [1, 4, 8, 14])
def test_full_disk_is_told_and_leaves_nothing_half_written(
    films: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    """The K-th fsync fails as on a full disk; when there is room again the same command completes."""
    root, real, calls = films(4), os.fsync, iter(range(1, 10_000))

    def fsync(descriptor: int) -> None:
        if next(calls) == failing_call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch, pytest.raises(MachineError, match="No space left on device"):
        patch.setattr(os, "fsync", fsync)
        run(root, tmp_path / "data", samples_per_shard=2)
    frames = tmp_path / "data" / "frames"
    done = {path.stem for path in frames.glob("*.json")}
    assert all((frames / f"{shard}.tar").exists() for shard in done)
    assert list((tmp_path / "data").rglob("*.tmp*")) == []
    left = psutil.Process().children(recursive=True)
    assert not [child for child in left if "vfm.video2token.execution.child" in " ".join(child.cmdline())]
    run(root, tmp_path / "data", samples_per_shard=2)
    run(root, tmp_path / "clean", samples_per_shard=2)
    assert stored(tmp_path / "data") == stored(tmp_path / "clean")


def test_many_failures_in_a_row_are_told_aloud(tmp_path: Path) -> None:
    root = tmp_path / "films"
    root.mkdir()
    for index in range(45):
        (root / f"{index}.mp4").write_bytes(b"")
    recorder = Recorder()
    run(root, tmp_path / "data", samples_per_shard=50, progress=recorder)
    assert len(recorder.notes) == 2
    assert recorder.notes[0].startswith(
        "20 videos in a row were rejected, the last with empty (The file is empty.)"
    )


def test_other_tools_on_resume_are_told(films: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = films(2)
    run(root, tmp_path / "data", samples_per_shard=1)
    (tmp_path / "data" / "frames" / "000001.json").unlink()
    monkeypatch.setattr(module, "tool_versions", lambda _: {"pyav": "99.0"})
    recorder = Recorder()
    run(root, tmp_path / "data", samples_per_shard=1, progress=recorder)
    assert recorder.notes[0].endswith("this run uses pyav 99.0.")
