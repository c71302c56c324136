"""Disks that fill, fail or refuse, and inputs that change meanwhile: told, and repaired by a rerun.

Rows E3, E4, E19 and E20 of the table in docs/explanation/reliability.md.
"""

import ctypes
import errno
import io
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from support.jobs import ENVIRONMENT, assert_sound, extract, extract_line, outcomes, stored
from vfm.shards.errors import MachineError, UsageError
from vfm.video2token.execution.executor import Reply
from vfm.video2token.jobs.extract import extract as module
from vfm.video2token.jobs.extract import job, video_task
from vfm.video2token.jobs.extract.extract import ExtractResult, extract_sources
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sources.listing import list_sources

Film = Callable[..., Path]
Figure = Callable[[str, object], None]


class InlinePool:
    """Does the work of the pool in this process: what fails here is the writing, not the decoding."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, values: Iterable[Any]) -> Iterator[Reply]:
        for value in values:
            head, body = video_task.extract_one(value)
            yield Reply(head=head, body=body)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in this process, which saves starting others hundreds of times."""
    monkeypatch.setattr(job, "ProcessExecutor", InlinePool)


class Recorder:
    """A progress that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, total: int, what: str, *, done: int = 0) -> None: ...

    def advance(self, *, note: str = "", **_: int) -> None:
        self.notes += [note] if note else []

    def finish(self) -> None: ...


def run(root: Path, data: Path, *, progress: Recorder | None = None) -> ExtractResult:
    sources = list_sources([root], missing="quarantine").sources
    options = ExtractOptions(fps=5.0, size_px=48)
    return extract_sources(sources, data, options, samples_per_shard=2, progress=progress)


class Sabotage:
    """Fails the K-th call of one kind (and, of writes, all that follow until it is lifted)."""

    def __init__(self, kind: str, *, failing_call: int, code: int) -> None:
        self.kind, self.failing_call, self.code = kind, failing_call, code
        self.num_calls = 0

    def strike(self, kind: str) -> None:
        if kind != self.kind:
            return
        self.num_calls += 1
        lasts = kind == "write"  # a disk that is full stays full
        if self.num_calls == self.failing_call or (lasts and self.num_calls > self.failing_call):
            raise OSError(self.code, os.strerror(self.code))

    def install(self, patch: pytest.MonkeyPatch) -> None:
        real_open, real_fsync, real_replace = io.open, os.fsync, os.replace
        sabotage = self

        class Disk(io.FileIO):
            def write(self, data: Any, /) -> int:
                view = memoryview(data)
                sabotage.strike("write")
                is_last = sabotage.kind == "write" and sabotage.num_calls + 1 == sabotage.failing_call
                # before it is full a disk takes some of what it is given
                return super().write(view[: len(view) // 2] if is_last and len(view) > 1 else view)

        def fake_open(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            if mode == "wb":
                return io.BufferedWriter(Disk(file, "wb"))
            return real_open(file, mode, *rest, **options)

        def fsync(descriptor: int) -> None:
            sabotage.strike("fsync")
            real_fsync(descriptor)

        def replace(source: Any, target: Any) -> None:
            sabotage.strike("replace")
            real_replace(source, target)

        patch.setattr(io, "open", fake_open)
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", replace)


@pytest.mark.parametrize("kind", ["write", "fsync", "replace"])
def test_every_write_fsync_and_rename_that_fails_is_told_and_mended_by_a_rerun(
    films: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline: None, kind: str, figure: Figure
) -> None:
    root = films(3, num_frames=6)
    (root / "a" / "empty.mp4").write_bytes(b"")  # so that there is a quarantine to write
    run(root, tmp_path / "clean")
    clean = stored(tmp_path / "clean")
    codes = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
    failing_call = 0
    while True:
        failing_call += 1
        data = tmp_path / f"{kind}{failing_call}"
        code = codes[failing_call % len(codes)]
        sabotage = Sabotage(kind, failing_call=failing_call, code=code)
        with monkeypatch.context() as patch:
            sabotage.install(patch)
            error = machine_error_of_a_run(root, data)
        assert list(data.rglob("*.tmp*")) == []
        run(root, data)
        assert stored(data) == clean
        assert_sound(data)
        if error is None:
            break
        assert os.strerror(code) in str(error)
        assert re.search("run the same command again|choose a folder", str(error))
        shutil.rmtree(data)
    assert sabotage.num_calls < failing_call  # every call has had its turn
    figure("calls", failing_call - 1)
    assert failing_call - 1 >= {"write": 8, "fsync": 16, "replace": 8}[kind]


def machine_error_of_a_run(root: Path, data: Path) -> MachineError | None:
    """Run once and return how it failed; any other error is a fault of ours and passes."""
    try:
        run(root, data)
    except MachineError as error:
        return error
    return None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function that mounts a disk of so many bytes, or resizes it; skip where one may not mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    is_mounted = False

    def mount(size_bytes: int, *, mode: str = "rw") -> Path:
        nonlocal is_mounted
        options = f"size={size_bytes},{mode}" + (",remount" if is_mounted else "")
        line = ["mount", "-t", "tmpfs", "-o", options, "vfm-test", str(folder)]
        try:
            done = subprocess.run(line, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command here")
        if done.returncode:
            pytest.skip(f"no disk may be mounted here ({done.stderr.strip()})")
        is_mounted = True
        return folder

    yield mount
    if is_mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "percent", [pytest.param(p, marks=() if p == 60 else pytest.mark.slow) for p in (10, 30, 50, 60, 75, 90)]
)
def test_a_disk_that_is_full_and_freed_later(
    films: Film, tmp_path: Path, small_disk: Callable[..., Path], percent: int
) -> None:
    root = films(6, num_frames=60, size=(160, 120), options={"preset": "ultrafast"})
    job = ("--samples-per-shard", 2, "--size", 120, "--fps", 25)
    assert extract(root, tmp_path / "clean", *job).returncode == 0
    clean = stored(tmp_path / "clean")
    needed = sum(-(-path.stat().st_size // 4096) * 4096 for path in (tmp_path / "clean").rglob("*"))
    disk = small_disk(needed * percent // 100)
    done = extract(root, disk / "data", *job)
    assert (done.returncode, len(done.stderr.splitlines()[-1:])) == (3, 1)
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert str(disk / "data") in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in disk.rglob("*.tmp*")] == []
    assert {name for name in stored(disk / "data") if name.endswith(".tar")} <= set(clean)
    small_disk(2 * needed)
    assert extract(root, disk / "data", *job).returncode == 0
    assert stored(disk / "data") == clean
    assert_sound(disk / "data")


def test_a_disk_that_is_read_only_is_told_before_any_decoding(
    films: Film, small_disk: Callable[..., Path]
) -> None:
    root, disk = films(1), small_disk(1 << 20, mode="ro")
    begun_s = time.monotonic()
    done = extract(root, disk / "data", "--no-labels")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "data cannot be written (Read-only file system)" in done.stderr
    assert time.monotonic() - begun_s < 10


@pytest.fixture
def as_plain_user(tmp_path: Path) -> dict[str, Any]:
    """Return what makes modes count for a process, as they do for all but root."""
    options: dict[str, Any] = {"preexec_fn": drop_power_over_modes} if os.geteuid() == 0 else {}
    (tmp_path / "probe").touch(mode=0)
    if (
        subprocess.run(
            ["cat", str(tmp_path / "probe")], capture_output=True, check=False, **options
        ).returncode
        == 0
    ):
        pytest.skip("modes cannot be made to count for this user")
    return options


def drop_power_over_modes() -> None:
    """Give up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which stand above modes, in what is executed next."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP


def test_inputs_that_may_not_be_read_are_rejected_and_the_rest_done(
    film: Film, tmp_path: Path, as_plain_user: dict[str, Any]
) -> None:
    film("in/good.mp4", num_frames=6)
    film("in/closed.mp4", num_frames=6).chmod(0)
    done = extract(tmp_path / "in", tmp_path / "data", **as_plain_user)
    assert done.returncode == 1, done.stderr
    ends = {name: end.word for name, end in outcomes(tmp_path / "data").items()}
    assert ends == {"good.mp4": "ok", "closed.mp4": "permission"}
    (tmp_path / "in" / "folder").mkdir(mode=0)
    closed = extract(tmp_path / "in", tmp_path / "data", **as_plain_user)
    assert (closed.returncode, closed.stderr.count("\n")) == (3, 1)
    assert "folder cannot be read (Permission denied): change its mode" in closed.stderr


def test_output_that_may_not_be_written_is_told_before_any_decoding(
    film: Film, tmp_path: Path, as_plain_user: dict[str, Any], figure: Figure
) -> None:
    root = film("in/good.mp4", num_frames=6).parent
    (tmp_path / "closed").mkdir(mode=0o555)
    assert extract(root, tmp_path / "before").returncode == 0
    for folder in ((tmp_path / "before" / "frames"), tmp_path / "before"):
        for path in folder.iterdir():
            if path.suffix == ".json" and folder.name == "frames":
                path.unlink()  # so that there is work to do
        folder.chmod(0o555)
    (tmp_path / "before" / ".lock").chmod(0o444)
    for data in (tmp_path / "closed" / "new", tmp_path / "closed", tmp_path / "before"):
        begun_s = time.monotonic()
        done = extract(root, data, **as_plain_user)
        figure(f"s_to_exit_{data.name}", round(time.monotonic() - begun_s, 2))
        assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
        assert "permission denied" in done.stderr.lower()


def test_a_video_changed_at_the_same_size_is_told_when_its_shard_is_done(
    films: Film, tmp_path: Path, inline: None
) -> None:
    root, data = films(6), tmp_path / "data"
    run(root, data)
    clean = stored(data)
    (data / "frames" / "000001.json").unlink()
    plan = module.build_plan(list_sources([root], missing="error").sources, samples_per_shard=2)
    done_before, pending = plan.shard(0)[0], plan.shard(1)[0]
    for source in (done_before, pending):
        os.utime(source.path, ns=(0, source.mtime_ns + 1_000_000))
    recorder = Recorder()
    run(root, data, progress=recorder)
    (note,) = recorder.notes
    assert note.startswith("1 video changed after their shards were finished, at the same size, the first ")
    assert f"{done_before.identity}. Their samples still show the old contents" in note
    assert stored(data) == clean  # the bytes were the same, and no time is stored


def test_videos_that_nobody_touched_are_not_spoken_of(films: Film, tmp_path: Path, inline: None) -> None:
    root = films(4)
    run(root, tmp_path / "data")
    recorder = Recorder()
    run(root, tmp_path / "data", progress=recorder)
    assert recorder.notes == []


def test_a_video_of_another_size_is_refused_on_resume(films: Film, tmp_path: Path, inline: None) -> None:
    root, data = films(4), tmp_path / "data"
    run(root, data)
    before = stored(data)
    (data / "frames" / "000001.json").unlink()
    with (root / "a" / "000.mp4").open("ab") as file:
        file.write(b"more")
    with pytest.raises(UsageError, match=r"size_bytes of a/000\.mp4"):
        run(root, data)
    assert stored(data) == before


def test_a_video_that_vanishes_during_the_job_is_missing(films: Film, tmp_path: Path, inline: None) -> None:
    root = films(4)
    sources = list_sources([root], missing="error").sources
    Path(sources[0].path).unlink()
    (root / "b" / "001.mp4").rename(root / "b" / "other.mp4")
    result = extract_sources(sources, tmp_path / "data", ExtractOptions(fps=5.0, size_px=48))
    assert result.rejected_by_reason == {"missing": 2}
    assert_sound(tmp_path / "data")


@pytest.mark.slow
@pytest.mark.parametrize("calls", ["fsync", "rename,renameat,renameat2"])
def test_every_system_call_that_fails_is_told_and_mended_by_a_rerun(
    films: Film, tmp_path: Path, calls: str, figure: Figure
) -> None:
    """The same sweep as above where it counts: strace lets the K-th call of a real job fail."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    root = films(3, num_frames=6)
    job = ("--samples-per-shard", 2)
    assert extract(root, tmp_path / "clean", *job).returncode == 0
    failing_call, code = 0, 3
    while code == 3:
        failing_call += 1
        data = tmp_path / f"data{failing_call}"
        inject = f"inject={calls}:error=EIO:when={failing_call}"
        line = ["strace", "-qq", "-o", os.devnull, "-e", inject, *extract_line(root, data, *job)]
        done = subprocess.run(line, capture_output=True, text=True, env=ENVIRONMENT, check=False)
        code = done.returncode
        if "ptrace" in done.stderr and failing_call == 1:
            pytest.skip(f"strace may not trace here ({done.stderr.strip()})")
        assert code in {0, 3}, done.stderr
        assert code == 0 or "Input/output error" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert extract(root, data, *job).returncode == 0
        assert stored(data) == stored(tmp_path / "clean")
        assert_sound(data)
    figure("calls", failing_call - 1)
    assert failing_call > 8
