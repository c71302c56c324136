"""Decoders that hang, crash, flood or are killed, in whole jobs: one video is lost, no other (E14 to E16)."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from support.jobs import ENVIRONMENT, assert_sound, extract, outcomes, stored, survivors, wait_for
from vfm.video2token.jobs.extract import job as module
from vfm.video2token.jobs.extract.extract import extract_sources
from vfm.video2token.options import ExtractOptions
from vfm.video2token.sources.listing import list_sources

Film = Callable[..., Path]
Figure = Callable[[str, object], None]

# Does to a video what its name says, and decodes all others.
STUB = """
import ctypes, os, signal, subprocess, sys, time
from vfm.video2token.jobs.extract import video_task

def extract_one(task):
    name = os.path.basename(task["path"])
    if name.startswith("sleep"):
        time.sleep(600)
    elif name.startswith("deaf"):  # in C, deaf to every signal that can be ignored
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        ctypes.CDLL(None).sleep(600)
    elif name.startswith("stopped"):
        os.kill(os.getpid(), signal.SIGSTOP)
    elif name.startswith("child"):
        subprocess.run(["sleep", "600"])
    elif name.startswith("segfault"):
        ctypes.string_at(0)
    elif name.startswith("abort"):
        os.abort()
    elif name.startswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif name.startswith("exit"):
        os._exit(139)
    elif name.startswith("flood"):
        os.write(2, b"x" * 1_000_000 + b"\\x1b[31m\\n")
        os.write(1, b"y" * 1_000_000)
    elif name.startswith("grows"):
        bytearray(1 << 40)
    return video_task.extract_one(task)
"""
ENDS = {
    "sleep": "timeout",
    "deaf": "timeout",
    "stopped": "timeout",
    "child": "timeout",
    "segfault": "crash",
    "abort": "crash",
    "killed": "oom",
    "exit": "crash",
    "flood": "ok",
    "grows": "crash",  # a handler's own MemoryError; that of a decoder is told as memory
}


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stub between the job and the decoder."""
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "stub_worker.py").write_text(STUB)
    monkeypatch.syspath_prepend(str(tmp_path / "stub"))
    monkeypatch.setattr(module, "_HANDLER", "stub_worker:extract_one")


def run(root: Path, data: Path, *, num_workers: int = 2, timeout_s: float = 60.0) -> float:
    """Run a job and return its seconds."""
    options = ExtractOptions(fps=5.0, size_px=48, timeout_s=timeout_s)
    sources = list_sources([root], missing="error").sources
    begun_s = time.monotonic()
    extract_sources(sources, data, options, samples_per_shard=8, num_workers=num_workers)
    return time.monotonic() - begun_s


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_every_way_to_fail_costs_that_video_alone(
    film: Film, tmp_path: Path, stub: None, figure: Figure
) -> None:
    good = film("films/good_00.mp4", num_frames=12)
    for index in range(1, 12):
        os.link(good, good.with_name(f"good_{index:02d}.mp4"))
    for name in ENDS:
        os.link(good, good.with_name(f"{name}.mp4"))
    before = {child.pid for child in children()}
    took_s = run(good.parent, tmp_path / "data", timeout_s=1.0)
    num_hanging = list(ENDS.values()).count("timeout")
    figure("wall_s", round(took_s, 1))
    ends = {name.removesuffix(".mp4"): end for name, end in outcomes(tmp_path / "data").items()}
    assert {name: end.word for name, end in ends.items() if not name.startswith("good")} == ENDS
    assert {end.word for name, end in ends.items() if name.startswith("good")} == {"ok"}
    assert_sound(tmp_path / "data")
    assert "SIGSEGV" in ends["segfault"].message
    assert "SIGABRT" in ends["abort"].message
    assert {child.pid for child in children()} <= before
    assert took_s < num_hanging * 2.0 + 15  # twice a second each, and the time that processes take to start


def test_a_video_that_hangs_does_not_hold_up_the_others(
    film: Film, tmp_path: Path, stub: None, figure: Figure
) -> None:
    """One of two processes hangs to its limit, twice: the other does all the rest meanwhile."""
    good = film("films/good_00.mp4", num_frames=12)
    for index in range(1, 40):
        os.link(good, good.with_name(f"good_{index:02d}.mp4"))
    os.link(good, good.with_name("sleep.mp4"))
    took_s = run(good.parent, tmp_path / "data", timeout_s=3.0)
    figure("s_over_the_limits", round(took_s - 2 * 3.0, 2))
    assert took_s < 2 * 3.0 + 4.0
    words = [end.word for end in outcomes(tmp_path / "data").values()]
    assert (words.count("ok"), words.count("timeout")) == (40, 1)


def test_a_clock_that_jumps_ends_no_video_and_changes_no_byte(
    films: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time limits count on a monotonic clock, and no time of day is stored (E22)."""
    root = films(4)
    run(root, tmp_path / "clean", timeout_s=20.0)
    real, jumps = time.time, iter(range(1, 1_000_000))

    def jumping() -> float:
        return real() + 86_400.0 * (-1) ** next(jumps) * 40

    monkeypatch.setattr(time, "time", jumping)
    run(root, tmp_path / "data", timeout_s=20.0)
    assert time.time() != pytest.approx(real(), abs=86_400)  # the patch was there
    assert stored(tmp_path / "data") == stored(tmp_path / "clean")


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A memory cgroup (version 1) of 400 MiB, where this process may make one."""
    group = Path("/sys/fs/cgroup/memory") / f"vfm-drill-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(400 << 20))
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here ({error.strerror})")
    yield group
    for _ in range(50):  # it stays busy until its last process is gone
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return


@pytest.mark.slow
def test_a_worker_that_the_system_kills_for_memory_costs_its_video_alone(
    film: Film, tmp_path: Path, memory_group: Path
) -> None:
    """One 8K video among 50 in a group of processes that may hold 400 MiB (E16)."""
    options = {"preset": "ultrafast", "bf": "0", "x264-params": "ref=8:rc-lookahead=0:threads=1"}
    big = film("films/big.mp4", num_frames=12, fps=5, size=(8192, 4096), options=options)
    good = film("films/good_00.mp4", num_frames=12)
    for index in range(1, 49):
        os.link(good, good.with_name(f"good_{index:02d}.mp4"))
    done = extract(
        big.parent,
        tmp_path / "data",
        "--workers",
        2,
        preexec_fn=lambda: (memory_group / "cgroup.procs").write_text(str(os.getpid())),
    )
    assert done.returncode == 1, done.stderr
    ends = outcomes(tmp_path / "data")
    assert ends.pop("big.mp4").word == "oom"
    assert [end.word for end in ends.values()] == ["ok"] * 49


def test_a_job_that_may_open_few_files_says_so_or_succeeds(films: Film, tmp_path: Path) -> None:
    """A limit of open files is the machine's fault and not the videos': none is rejected for it."""
    root = films(4)
    for limit in (16, 32, 64):
        data = tmp_path / f"data{limit}"
        done = extract(
            root,
            data,
            "--workers",
            4,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),  # noqa: B023
        )
        assert done.returncode in {0, 3}, done.stderr
        assert "Traceback" not in done.stderr
        assert extract(root, data).returncode == 0
        assert {end.word for end in outcomes(data).values()} == {"ok"}


def test_parent_that_is_killed_leaves_no_process(films: Film, tmp_path: Path, stub: None) -> None:
    """Only the job's own process gets SIGKILL; its workers are in the midst of a decoding (E25)."""
    root = films(6)
    for name in ("sleep.mp4", "sleep too.mp4"):
        os.link(next(root.rglob("000.mp4")), root / name)
    code = (
        "import sys; from pathlib import Path\n"
        "from vfm.video2token.jobs.extract import extract, job\n"
        "job._HANDLER = 'stub_worker:extract_one'\n"
        "from vfm.video2token.options import ExtractOptions\n"
        "extract.extract([Path(sys.argv[1])], Path(sys.argv[2]), ExtractOptions(fps=5.0), num_workers=2)\n"
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    line = [sys.executable, "-c", code, str(root), str(tmp_path / "data")]
    with subprocess.Popen(line, env=environment) as job:
        wait_for(lambda: len(workers_of(job.pid)) == 2)
        time.sleep(0.5)
        workers = workers_of(job.pid)
        job.kill()
    assert survivors(workers) == []


def workers_of(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children()
    return [child for child in found if "vfm.video2token.execution.child" in " ".join(child.cmdline())]
