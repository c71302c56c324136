import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from vfm.shards.errors import MachineError
from vfm.video2token.execution.executor import Reply
from vfm.video2token.execution.executors.processes import ProcessExecutor

# What workers can be asked to do, in a module that they find because they get our sys.path.
HANDLERS = """
import os, signal, sys, time
from pathlib import Path

def run(task):
    kind, value = task
    if kind == "sleep":
        time.sleep(value)
    elif kind == "exit":
        os._exit(value)
    elif kind == "kill":
        os.kill(os.getpid(), value)
    elif kind == "raise":
        raise KeyError(value)
    elif kind == "once":  # crash the first time only
        path = Path(value)
        if not path.exists():
            path.touch()
            os._exit(9)
    elif kind == "hang once":
        path = Path(value)
        if not path.exists():
            path.touch()
            time.sleep(60)
    elif kind == "bytes":
        return {"task": task}, bytes(value)
    elif kind == "who":
        time.sleep(value)
        return {"pid": os.getpid()}, b""
    elif kind == "memory":
        try:
            return {"size": len(bytearray(value))}, b""
        except MemoryError:
            return {"size": -1}, b""
    elif kind == "half":  # begins a reply and falls silent
        os.write(int(sys.argv[-2]), b"\\0")
        time.sleep(60)
    elif kind == "child":
        import subprocess
        child = subprocess.Popen(["sleep", "60"])
        Path(value).write_text(str(child.pid))
        time.sleep(60)
    return {"task": task}, b""
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Reply]]:
    """Return a function that runs tasks and returns the replies."""
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "unusable.py").write_text("raise RuntimeError('no such luck')")
    monkeypatch.syspath_prepend(str(tmp_path))

    def run_tasks(tasks: Any, *, handler: str = "handlers:run", **options: Any) -> list[Reply]:
        with pool_of(handler, **options) as pool:
            return list(pool.run(tasks))

    return run_tasks


def pool_of(handler: str = "handlers:run", **options: Any) -> ProcessExecutor:
    return ProcessExecutor(
        handler, **{"num_workers": 2, "timeout_s": 20.0, "memory_bytes": 1 << 30, **options}
    )


def workers() -> list[psutil.Process]:
    """Return the pool's processes; other tests may have left helpers of Python's own."""
    every = psutil.Process().children(recursive=True)
    return [child for child in every if "vfm.video2token.execution.child" in " ".join(child.cmdline())]


def test_replies_come_in_the_order_of_the_tasks(run: Callable[..., list[Reply]]) -> None:
    tasks = [["sleep", 0.2], ["sleep", 0.0], ["bytes", 3_000_000], ["sleep", 0.05]] * 3
    replies = run(tasks)
    assert [reply.head["task"] for reply in replies] == tasks
    assert [len(reply.body) for reply in replies] == [0, 0, 3_000_000, 0] * 3
    assert workers() == []


def test_both_workers_work(run: Callable[..., list[Reply]]) -> None:
    replies = run([["who", 0.2]] * 10)
    assert len({reply.head["pid"] for reply in replies}) == 2


def test_no_tasks_start_no_worker(run: Callable[..., list[Reply]]) -> None:
    assert run([]) == []


def test_a_task_that_hangs_costs_itself_alone(run: Callable[..., list[Reply]]) -> None:
    begun_s = time.monotonic()
    replies = run([["sleep", 60], *[["sleep", 0.0]] * 5], timeout_s=0.5)
    assert [reply.failure for reply in replies] == ["timeout", *[None] * 5]
    assert replies[0].message == "It took longer than 0.5 s."
    assert time.monotonic() - begun_s < 8


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (["exit", 3], "Its process ended with status 3."),
        (["kill", signal.SIGSEGV], "Its process was ended by SIGSEGV."),
        (["raise", "why"], "Its process ended with status 1: KeyError: 'why'."),
    ],
)
def test_a_task_that_crashes_twice_costs_itself_alone(
    run: Callable[..., list[Reply]], task: list[Any], told: str
) -> None:
    replies = run([["sleep", 0.0], task, ["sleep", 0.0]])
    assert [reply.failure for reply in replies] == [None, "crash", None]
    assert replies[1].message == told


def test_a_worker_that_is_killed_twice_ran_out_of_memory(run: Callable[..., list[Reply]]) -> None:
    replies = run([["sleep", 0.0], ["kill", signal.SIGKILL], ["sleep", 0.0]])
    assert [reply.failure for reply in replies] == [None, "oom", None]
    assert replies[1].message == "Its process was ended by SIGKILL, as the system does when memory runs out."


def test_a_task_that_crashes_once_is_tried_again(run: Callable[..., list[Reply]], tmp_path: Path) -> None:
    replies = run([["sleep", 0.0], ["once", str(tmp_path / "seen")], ["sleep", 0.0]])
    assert [reply.failure for reply in replies] == [None] * 3


def test_a_task_that_hangs_once_is_tried_again_beside_the_others(
    run: Callable[..., list[Reply]], tmp_path: Path
) -> None:
    tasks = [["hang once", str(tmp_path / "seen")], *[["who", 0.2]] * 6]
    replies = run(tasks, timeout_s=2.0)
    assert [reply.failure for reply in replies] == [None] * 7


def test_a_second_try_is_not_held_up_by_results_that_wait_for_it(
    run: Callable[..., list[Reply]], tmp_path: Path
) -> None:
    tasks = [["hang once", str(tmp_path / "seen")], *[["bytes", 1000]] * 20]
    replies = run(tasks, timeout_s=2.0, max_waiting_bytes=2000)
    assert [reply.failure for reply in replies] == [None] * 21


def test_a_reply_that_falls_silent_is_given_up(
    run: Callable[..., list[Reply]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfm.video2token.execution.executors.processes._SILENCE_LIMIT_S", 0.3)
    assert [reply.failure for reply in run([["half", 0], ["sleep", 0.0]], timeout_s=0.3)] == ["timeout", None]


def test_address_space_is_limited(run: Callable[..., list[Reply]]) -> None:
    replies = run([["memory", 4 << 30], ["memory", 1 << 20]])
    assert [reply.head["size"] for reply in replies] == [-1, 1 << 20]


def test_results_that_wait_are_bounded(run: Callable[..., list[Reply]], tmp_path: Path) -> None:
    given = []

    def tasks() -> Iterator[list[Any]]:
        for index in range(30):
            given.append(index)
            yield ["sleep", 1.0] if index == 0 else ["bytes", 1000]

    with pool_of(max_waiting_bytes=3000) as pool:
        replies = pool.run(tasks())
        next(replies)
        # one runs, four wait (one beyond the bound), one was looked at
        assert len(given) <= 7
        assert len(list(replies)) == 29


def test_workers_that_cannot_start_are_an_error_of_the_machine(run: Callable[..., list[Reply]]) -> None:
    with pytest.raises(MachineError, match="Worker processes do not start .*no such luck"):
        run([["sleep", 0.0]], handler="unusable:run")
    assert workers() == []


def test_what_a_worker_has_started_ends_with_it(run: Callable[..., list[Reply]], tmp_path: Path) -> None:
    note = tmp_path / "child"
    assert [reply.failure for reply in run([["child", str(note)]], timeout_s=1.0)] == ["timeout"]
    grandchild = int(note.read_text())
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_leaving_the_pool_early_ends_the_workers(run: Callable[..., list[Reply]]) -> None:
    with pool_of() as pool:
        next(pool.run([["bytes", 1], ["sleep", 60], ["sleep", 60]]))
        assert len(workers()) == 2
    assert workers() == []


def test_a_signal_just_as_a_worker_was_started_ends_it_and_passes(
    run: Callable[..., list[Reply]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(selectors.DefaultSelector, "register", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run([["sleep", 0.0]])
    assert workers() == []


def test_workers_die_with_their_parent(run: Callable[..., list[Reply]]) -> None:
    code = (
        "from vfm.video2token.execution.executors.processes import ProcessExecutor\n"
        "with ProcessExecutor('handlers:run', num_workers=2, timeout_s=99, memory_bytes=1 << 30) as pool:\n"
        "    for reply in pool.run([['bytes', 1]] * 2 + [['sleep', 60]] * 2): print('ready', flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        orphans = psutil.Process(parent.pid).children()
        assert len(orphans) == 2
        parent.kill()
    _, left = psutil.wait_procs(orphans, timeout=2)
    # A process that ended may wait a while for the system to take note.
    assert [orphan for orphan in left if orphan.status() != psutil.STATUS_ZOMBIE] == []


def test_time_the_job_was_stopped_does_not_count(
    run: Callable[..., list[Reply]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, jumps = time.monotonic, iter([0.0] * 6 + [3600.0] * 10_000)
    shift = 0.0

    def monotonic() -> float:
        nonlocal shift
        shift = max(shift, next(jumps))
        return real() + shift

    monkeypatch.setattr("vfm.video2token.execution.executors.processes.time.monotonic", monotonic)
    assert [reply.failure for reply in run([["sleep", 0.3]] * 4, timeout_s=5.0)] == [None] * 4
