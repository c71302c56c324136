import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from support.media import write_film
from vfm.cli.commands.extract import command
from vfm.shards.io.lock import hold

Film = Callable[..., Path]
VFM = [sys.executable, "-m", "vfm.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def extract(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, one worker unless told otherwise."""
    given = ["extract", *map(str, arguments), "--fps", "5", "--size", "48"]
    if "--workers" not in given:
        given += ["--workers", "1"]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*VFM, *given], capture_output=True, text=True, env=ENVIRONMENT, timeout=120, check=False, **options
    )


def start(*arguments: object) -> "subprocess.Popen[str]":
    """Start the command in a session of its own, as a terminal would."""
    given = ["extract", *map(str, arguments), "--fps", "5", "--size", "48", "--samples-per-shard", "3"]
    return subprocess.Popen(
        [*VFM, *given], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True
    )


def digest(data: Path) -> dict[str, bytes]:
    names = (
        "*.tar",
        "*.index.parquet",
        "*.idx",
        ".nv-meta/*",
        "plan.parquet",
        "quarantine.jsonl",
        "dataset.json",
    )
    return {path.name: path.read_bytes() for name in names for path in sorted(data.rglob(name))}


def wait_for(is_true: Callable[[], bool], *, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that ended may wait a while for the system to take note."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_result_is_json_on_stdout_and_talk_is_on_stderr(films: Film, tmp_path: Path) -> None:
    root = films(3)
    done = extract(root, tmp_path / "data", "--json")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert result.pop("elapsed_s") > 0
    assert result.pop("size_bytes") > 1000
    assert result == {
        "data": str(tmp_path / "data"), "num_sources": 3, "num_ok": 3, "num_partial": 0, "num_rejected": 0,
        "rejected_by_reason": {}, "num_frames": 14, "num_shards": 1, "num_shards_before": 0,
            "num_hidden": 0,
    }  # fmt: skip
    *_, progress, summary, _next = done.stderr.splitlines()
    assert progress == "3 of 3 videos, 14 frames"
    assert summary.startswith("3 sources: 3 ok, 0 partial, 0 rejected; 14 frames in ")
    again = extract(root, tmp_path / "data")
    assert again.stdout == ""
    assert again.stderr.splitlines()[-2].endswith("1 of 1 shard done before")


def test_rejects_beyond_the_allowance_change_the_exit_code(films: Film, tmp_path: Path) -> None:
    root = films(2)
    (root / "bad.mp4").write_bytes(b"")
    done = extract(root, tmp_path / "data")
    assert done.returncode == 1
    told = f"3 sources: 2 ok, 0 partial, 1 rejected (empty 1); see {tmp_path / 'data' / 'quarantine.jsonl'}; "
    assert told in done.stderr
    assert extract(root, tmp_path / "data", "--allow-rejects", "1").returncode == 0


def test_wrong_usage_is_one_sentence_and_exit_code_2(films: Film, tmp_path: Path) -> None:
    root = films(1)
    missing = extract(tmp_path / "nowhere", tmp_path / "data")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert "does not exist: name a folder, a video or a list." in missing.stderr
    assert not (tmp_path / "data").exists()
    assert extract(root, tmp_path / "data").returncode == 0
    other = extract(root, tmp_path / "data", "--no-labels", "--quality", "50")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "(quality 90 there, 50 requested)" in other.stderr


def test_locked_output_is_exit_code_3(films: Film, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with hold(tmp_path / "data"):
        done = extract(films(1), tmp_path / "data", "--no-labels")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert f"is being written by process {os.getpid()}" in done.stderr


def test_write_error_is_exit_code_3_and_the_rerun_completes(films: Film, tmp_path: Path) -> None:
    root = films(4)
    done = extract(
        root,
        tmp_path / "data",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 3
    assert f"000000.tar cannot be written ({os.strerror(errno.EFBIG)})" in done.stderr
    assert "run the same command again" in done.stderr
    assert list((tmp_path / "data" / "frames").iterdir()) == []
    assert extract(root, tmp_path / "data").returncode == 0
    assert extract(root, tmp_path / "clean").returncode == 0
    assert digest(tmp_path / "data") == digest(tmp_path / "clean")


def test_control_characters_in_names_do_not_reach_the_terminal(film: Film, tmp_path: Path) -> None:
    film("films/\x1b[31mred\x07.mp4", num_frames=3).write_bytes(b"")
    done = extract(tmp_path / "films" / "\x1b[31mred\x07.mp4", tmp_path / "\x1b]0;title\x07")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert r"\x1b]0;title" in done.stderr


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], float]:
    """Twelve videos in four shards, what a clean run makes of them, and how long it works on the shards."""
    folder = tmp_path_factory.mktemp("many")
    root, clean = folder / "films", folder / "clean"
    for index in range(12):
        how = {"num_frames": 60, "size": (320, 240), "options": {"preset": "ultrafast"}}
        write_film(root / "ab"[index % 2] / f"{index:03d}.mp4", first=5 * index, **how)
    job = start(root, clean, "--workers", "2")
    wait_for(lambda: is_writing(clean))
    begun_s = time.monotonic()
    job.communicate(timeout=60)
    return root, digest(clean), time.monotonic() - begun_s


def is_writing(data: Path) -> bool:
    return any(data.glob("frames/.*.tar.tmp*"))


def num_shards(data: Path) -> int:
    return len(list(data.glob("frames/*.json")))


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_run_again_gives_the_same_bytes(
    many: tuple[Path, dict[str, bytes], float], tmp_path: Path, kills: int
) -> None:
    root, clean, work_s = many
    rng = np.random.default_rng(20)
    data, num_kills, num_done = tmp_path / "data0", 0, 0
    while num_kills < kills:
        goal = num_shards(data) + int(rng.integers(2))  # while it starts, or after one more shard
        job = start(root, data, "--workers", "2")
        wait_for(lambda: num_shards(data) >= goal or job.poll() is not None)  # noqa: B023
        time.sleep(rng.uniform(0, work_s / 4))
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
            num_kills += 1
        job.communicate()
        if job.returncode == 0:  # it was done before the kill: this one counts, and a new one begins
            assert digest(data) == clean
            num_done += 1
            data = tmp_path / f"data{num_done}"
    assert extract(root, data, "--samples-per-shard", "3", "--workers", "2").returncode == 0
    assert digest(data) == clean
    assert list(data.rglob("*.tmp*")) == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_stop_it_within_seconds_and_it_goes_on_later(
    many: tuple[Path, dict[str, bytes], float], tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    root, clean, _ = many
    job = start(root, tmp_path / "data", "--workers", "2")
    wait_for(lambda: is_writing(tmp_path / "data"))
    workers = psutil.Process(job.pid).children()
    begun_s = time.monotonic()
    os.kill(job.pid, sent)
    _, told = job.communicate(timeout=10)
    assert time.monotonic() - begun_s < 5
    assert job.returncode == code
    assert told.splitlines()[-1].startswith("vfm: ")
    assert "run the same command again to resume" in told
    _, left = psutil.wait_procs(workers, timeout=2)
    assert [worker for worker in left if is_alive(worker)] == []
    assert not is_writing(tmp_path / "data")
    assert extract(root, tmp_path / "data", "--samples-per-shard", "3").returncode == 0
    assert digest(tmp_path / "data") == clean


def test_two_jobs_at_once_leave_one_dataset(
    many: tuple[Path, dict[str, bytes], float], tmp_path: Path
) -> None:
    root, clean, _ = many
    jobs = [start(root, tmp_path / "data", "--workers", "1") for _ in range(2)]
    codes = sorted(job.wait(timeout=60) for job in jobs)
    for job in jobs:
        job.communicate()
    assert codes in ([0, 3], [0, 0])  # the second may come when the first has ended
    assert digest(tmp_path / "data") == clean


def test_help_names_every_option_and_an_example() -> None:
    told = CliRunner().invoke(command, ["--help"]).output
    assert "vfm extract videos/ data/mine --fps 2" in told
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_every_video_is_needed_and_fps_too(tmp_path: Path) -> None:
    for arguments in ([], [str(tmp_path)], [str(tmp_path), str(tmp_path)]):
        assert CliRunner().invoke(command, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("given", "rule", "fps", "num_frames"),
    [
        (["--fps", "5"], "grid", 5.0, 4),
        (["--fps", "native"], "native", None, 20),
        (["--num-frames", "3"], "uniform", None, 3),
        (["--fps", "5", "--sampling", "ffmpeg-fps-filter"], "ffmpeg-fps-filter", 5.0, 4),
        (["--fps", "5", "--decode-all"], "grid", 5.0, 4),
    ],
)
def test_rule_is_stored_with_every_sample(
    films: Film, tmp_path: Path, given: list[str], rule: str, fps: float | None, num_frames: int
) -> None:
    arguments = [str(films(1)), str(tmp_path / "data"), "--size", "48", "--workers", "1", *given]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    with tarfile.open(tmp_path / "data" / "frames" / "000000.tar") as tar:
        name = next(name for name in tar.getnames() if name.endswith(".json"))
        meta = json.loads(tar.extractfile(name).read())  # type: ignore[union-attr]
    assert (meta["sampling"], meta["fps"], meta["num_frames"]) == (rule, fps, num_frames)
    assert len(meta["pts_s"]) == num_frames
    assert meta["decoding"].startswith("full" if "--decode-all" in given or rule == "native" else "selective")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "either --fps or --num-frames"),
        (["--fps", "2", "--num-frames", "3"], "either --fps or --num-frames"),
        (["--fps", "fast"], "'fast' is neither a number from 0.001 to 1000 nor 'native'"),
        (["--fps", "0"], "'0' is neither"),
        (["--fps", "native", "--sampling", "ffmpeg-fps-filter"], "needs --fps with a number"),
        (["--num-frames", "3", "--sampling", "ffmpeg-fps-filter"], "needs --fps with a number"),
    ],
)
def test_contradictory_rules_are_refused(tmp_path: Path, given: list[str], told: str) -> None:
    done = CliRunner().invoke(command, [str(tmp_path), str(tmp_path / "data"), *given])
    assert done.exit_code == 2
    assert told in done.output
