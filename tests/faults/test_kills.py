"""Jobs that are killed, interrupted, started twice, or find what a killed one has left (E1, E2, E17, E18)."""

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest

from support.jobs import (
    assert_sound,
    extract,
    is_writing,
    num_shards,
    start,
    stored,
    survivors,
    wait_for,
)

Film = Callable[..., Path]
Figure = Callable[[str, object], None]

LONG = {"num_frames": 60, "size": (320, 240), "options": {"preset": "ultrafast"}}


class Many(NamedTuple):
    """Twelve videos, what a clean run makes of them, and how long it works."""

    root: Path
    clean: dict[str, bytes]
    work_s: float


@pytest.fixture
def many(films: Film, tmp_path: Path) -> Many:
    root = films(12, **LONG)
    job = start_job(root, tmp_path / "clean")
    wait_for(lambda: is_writing(tmp_path / "clean"))
    begun_s = time.monotonic()
    job.communicate(timeout=60)
    return Many(root, stored(tmp_path / "clean"), time.monotonic() - begun_s)


def start_job(root: Path, data: Path) -> "subprocess.Popen[str]":
    return start(root, data, "--samples-per-shard", 3, "--workers", 2)


def finish(root: Path, data: Path) -> None:
    done = extract(root, data, "--samples-per-shard", 3, "--workers", 2)
    assert done.returncode == 0, done.stderr


def stop(job: "subprocess.Popen[str]", *sent: signal.Signals, pause_s: float) -> tuple[float, str]:
    """Send signals one after the other; return how long it took from the first, and what the job said."""
    begun_s = time.monotonic()
    for number in sent:
        os.kill(job.pid, number)
        time.sleep(pause_s)
    _, told = job.communicate(timeout=30)
    return time.monotonic() - begun_s, told


@pytest.mark.parametrize(
    ("sent", "codes", "pause_s"),
    [
        ((signal.SIGINT, signal.SIGINT), {130}, 0.02),
        ((signal.SIGTERM, signal.SIGTERM), {143}, 0.02),
        ((signal.SIGINT, signal.SIGTERM), {130}, 0.2),
        # POSIX does not order different signals that wait together: either may be the one that is seen first.
        ((signal.SIGINT, signal.SIGTERM), {130, 143}, 0.0),
    ],
)
def test_a_second_signal_does_not_disturb_the_end(
    films: Film, tmp_path: Path, sent: tuple[signal.Signals, ...], codes: set[int], pause_s: float
) -> None:
    root, data = films(4, num_frames=300, size=(320, 240), options={"preset": "ultrafast"}), tmp_path / "data"
    job = start_job(root, data)
    wait_for(lambda: is_writing(data))
    workers = psutil.Process(job.pid).children()
    took_s, told = stop(job, *sent, pause_s=pause_s)
    assert_ended_well(job, told, codes=codes)
    assert took_s < 5
    assert survivors(workers) == []
    assert not is_writing(data)


def assert_ended_well(job: "subprocess.Popen[str]", told: str, *, codes: set[int]) -> None:
    assert job.returncode in codes, told
    assert "Traceback" not in told
    assert told.splitlines()[-1].endswith("run the same command again to resume.")


@pytest.mark.slow
def test_stopped_by_signals_at_20_random_moments_each(many: Many, tmp_path: Path, figure: Figure) -> None:
    """SIGINT and SIGTERM, one and two of each: 80 stops, each gone on with until the job is done (E2)."""
    rng = np.random.default_rng(2)
    took_s: list[float] = []
    for sent in [2 * (signal.SIGINT,), 2 * (signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM,)]:
        data, num_stops = tmp_path / f"{sent[0].name}{len(sent)}", 0
        while num_stops < 20:
            job = start_job(many.root, data)
            wait_for(lambda: is_writing(data) or job.poll() is not None)  # noqa: B023
            time.sleep(rng.uniform(0, many.work_s / 2))
            if job.poll() is not None:  # it was done: begin again
                job.communicate()
                assert job.returncode == 0
                assert stored(data) == many.clean
                data = tmp_path / f"{data.name}x"
                continue
            workers = psutil.Process(job.pid).children()
            seconds, told = stop(job, *sent, pause_s=float(rng.uniform(0, 0.05)))
            if " sources: " in told:  # it was done as the signal came, and had said so
                continue
            num_stops += 1
            took_s.append(seconds)
            assert_ended_well(job, told, codes={128 + sent[0]})
            assert survivors(workers) == []
            assert not is_writing(data)
        finish(many.root, data)
        assert stored(data) == many.clean
    figure("stops", len(took_s))
    figure("median_s_to_stop", round(statistics.median(took_s), 2))
    figure("longest_s_to_stop", round(max(took_s), 2))
    assert max(took_s) < 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_100_random_moments_nothing_is_lost_or_doubled(
    many: Many, tmp_path: Path, figure: Figure
) -> None:
    """SIGKILL to the job alone or to all its processes, then the same command again until it is done (E1)."""
    rng = np.random.default_rng(100)
    data, num_kills, num_done = tmp_path / "data0", 0, 0
    while num_kills < 100:
        goal = num_shards(data) + int(rng.integers(2))
        job = start_job(many.root, data)
        wait_for(lambda: num_shards(data) >= goal or job.poll() is not None)  # noqa: B023
        time.sleep(rng.uniform(0, many.work_s / 4))
        if job.poll() is None:
            workers = psutil.Process(job.pid).children()
            os.kill(job.pid, signal.SIGKILL) if rng.integers(2) else os.killpg(job.pid, signal.SIGKILL)
            num_kills += 1
            assert survivors(workers) == []
        job.communicate()
        if job.returncode == 0:
            assert stored(data) == many.clean
            num_done += 1
            data = tmp_path / f"data{num_done}"
    finish(many.root, data)
    assert stored(data) == many.clean
    assert_sound(data)
    figure("kills", num_kills)
    figure("datasets_equal_to_the_clean_one", num_done + 1)


@pytest.mark.slow
def test_two_jobs_at_once_20_times(many: Many, tmp_path: Path, figure: Figure) -> None:
    """Of two jobs on one output, one does the work; other options are refused, then and later (E17)."""
    rng = np.random.default_rng(17)
    num_equal = 0
    for trial in range(20):
        data = tmp_path / f"data{trial}"
        jobs = [start_job(many.root, data)]
        time.sleep(rng.uniform(0, 0.3))
        other = ("--fps", 4) if trial % 2 else ()
        jobs.append(start(many.root, data, "--samples-per-shard", 3, "--workers", 2, *other))
        told = [job.communicate(timeout=60)[1] for job in jobs]
        codes = [job.returncode for job in jobs]
        assert 0 in codes, told
        assert set(codes) <= {0, 2, 3}
        for text, code in zip(told, codes, strict=True):
            assert code == 0 or text.count("\n") == 1
            assert code != 3 or "is being written by " in text
        first_won = codes[0] == 0
        if first_won or not other:
            assert stored(data) == many.clean
            num_equal += 1
        if other:
            loser = (many.root, data, "--samples-per-shard", 3, *(other if first_won else ()))
            refused = extract(*loser)
            assert refused.returncode == 2
            assert "fps" in refused.stderr
    figure("equal", num_equal)


def test_a_lock_that_names_a_living_process_does_not_block(films: Film, tmp_path: Path) -> None:
    """A killed job's lock may hold a number that now is another process: the number is for people only."""
    root, data = films(2), tmp_path / "data"
    data.mkdir()
    (data / ".lock").write_text(f"{os.getpid()}\n")
    done = extract(root, data)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_killed_jobs_lock_is_taken_over_20_times(many: Many, tmp_path: Path) -> None:
    """Each next job starts within a moment of the kill, before the system has cleared away all (E18)."""
    for trial in range(20):
        data = tmp_path / f"data{trial}"
        for _ in range(2):
            job = start_job(many.root, data)
            wait_for(lambda: is_writing(data) or job.poll() is not None)  # noqa: B023
            assert job.poll() is None, job.communicate()
            job.kill()
            job.communicate()
            (data / ".lock").write_text(f"{os.getpid()}\n")  # a number that is now another process
    finish(many.root, data)
    assert stored(data) == many.clean


def test_other_settings_are_refused_while_the_job_runs_and_after(films: Film, tmp_path: Path) -> None:
    root, data = films(4, **LONG), tmp_path / "data"
    job = start_job(root, data)
    wait_for(lambda: is_writing(data))
    os.kill(job.pid, signal.SIGSTOP)  # so that it is not done before the other has come
    during = extract(root, data, "--no-labels", "--samples-per-shard", 3, "--fps", 4)
    os.kill(job.pid, signal.SIGCONT)
    assert (during.returncode, during.stderr.count("\n")) == (3, 1)
    assert f"is being written by process {job.pid}" in during.stderr
    job.communicate(timeout=60)
    assert job.returncode == 0
    after = extract(root, data, "--no-labels", "--samples-per-shard", 3, "--fps", 4)
    assert (after.returncode, after.stderr.count("\n")) == (2, 1)
    assert "(fps 5.0 there, 4.0 requested)" in after.stderr
