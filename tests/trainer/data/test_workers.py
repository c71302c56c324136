"""The loader's processes: signals, deaths and ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from torch.utils.data import DataLoader

from vfm.shards.errors import MachineError
from vfm.trainer.data import workers
from vfm.trainer.data.workers import POLL_S, leave_signals_to_the_parent, next_batch, reading

HANG = -1


class Items:
    """The numbers asked for; takes its time over one, for ever over another."""

    def __getitem__(self, number: int) -> int:
        if number == HANG:
            time.sleep(1000)
        if number == 1:
            time.sleep(2 * POLL_S + 1)
        return number


def loader(*numbers: int, num_workers: int = 2) -> DataLoader:
    return DataLoader(
        Items(),
        batch_sampler=[[number] for number in numbers],
        num_workers=num_workers,
        collate_fn=list,
        worker_init_fn=leave_signals_to_the_parent,
        multiprocessing_context="spawn",
        timeout=POLL_S,
    )


def processes(loaded) -> list[psutil.Process]:
    return [psutil.Process(worker.pid) for worker in loaded._workers]


class Told:
    """An iterator that raises and gives what it is told to."""

    def __init__(self, *told: object) -> None:
        self.told = list(told)

    def __next__(self) -> object:
        value = self.told.pop(0)
        if isinstance(value, Exception):
            raise value
        return value


LATE = RuntimeError("DataLoader timed out after 2.0 seconds")


def test_a_slow_batch_is_waited_for_and_none_is_lost_or_doubled():
    with reading(loader(0, 1, 2, 3, 4)) as loaded:
        assert [next_batch(loaded) for _ in range(5)] == [[0], [1], [2], [3], [4]]


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(workers, "TIMEOUT_S", 3 * POLL_S)
    assert next_batch(Told(LATE, LATE, "batch")) == "batch"
    with pytest.raises(MachineError, match=r"it gave nothing for 6 s\): run the same command again"):
        next_batch(Told(LATE, LATE, LATE))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (EOFError(), "its connection broke"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "exited unexpectedly"),
    ],
)
def test_a_lost_process_is_one_sentence(error, told):
    with pytest.raises(MachineError, match=rf"A loader process failed \(.*{told}\): run the same command"):
        next_batch(Told(error))


@pytest.mark.parametrize("text", ["ours", "Caught RuntimeError in DataLoader worker process 0.\nTraceback"])
def test_an_error_of_ours_is_no_lost_process(text):
    with pytest.raises(RuntimeError, match=text):
        next_batch(Told(RuntimeError(text)))


def test_no_handler_of_signals_stays(monkeypatch):
    before = signal.getsignal(signal.SIGCHLD)
    monkeypatch.setattr("torch.utils.data._utils.signal_handling._SIGCHLD_handler_set", False)
    with reading(loader(0, num_workers=1)) as loaded:
        assert signal.getsignal(signal.SIGCHLD) is before
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGTERM, signal.SIGCHLD}
        assert next_batch(loaded) == [0]


def test_signals_of_others_are_left_to_the_parent_from_the_first_moment():
    with reading(loader(0, 0, 0)) as loaded:
        pids = " ".join(str(worker.pid) for worker in loaded._workers)
        signals = [f"kill -{name} {pids}" for name in ("TERM", "INT", "USR1")]
        subprocess.run(["sh", "-c", " && ".join(signals)], check=True)
        assert next_batch(loaded) == [0]
        subprocess.run(["sh", "-c", " && ".join(signals)], check=True)
        time.sleep(0.2)
        assert [next_batch(loaded) for _ in range(2)] == [[0], [0]]
        left = processes(loaded)
    assert psutil.wait_procs(left, timeout=1)[1] == []


def test_a_process_that_hangs_hears_its_parent():
    with reading(loader(0, HANG, num_workers=1)) as loaded:
        assert next_batch(loaded) == [0]
        left = processes(loaded)
        for worker in loaded._workers:
            worker.terminate()
        assert psutil.wait_procs(left, timeout=5)[1] == []


@pytest.mark.parametrize("how", ["killed", "exits"])
def test_processes_end_with_their_parent(tmp_path: Path, warm_python: str, how: str):
    """Also where the parent ends without ending them, and they hang."""
    script = (
        "import sys, time\n"
        "from test_workers import HANG, loader, next_batch, reading\n"
        "if __name__ == '__main__':\n"
        "    context = reading(loader(0, HANG, HANG))\n"
        "    loaded = context.__enter__()\n"
        "    next_batch(loaded)\n"
        "    time.sleep(1)\n"
        "    print(*(worker.pid for worker in loaded._workers), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    (tmp_path / "script.py").write_text(script)
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    parent = subprocess.Popen(
        [warm_python, str(tmp_path / "script.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
    )
    left = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(left) == 2
    if how == "killed":
        parent.kill()
    parent.stdin.close()
    assert psutil.wait_procs(left, timeout=15)[1] == []
    parent.wait(timeout=15)
    parent.stdout.close()


def test_a_killed_process_is_noticed_within_a_poll():
    with reading(loader(0, HANG, num_workers=1)) as loaded:
        assert next_batch(loaded) == [0]
        os.kill(loaded._workers[0].pid, signal.SIGKILL)
        begun_s = time.monotonic()
        with pytest.raises(
            MachineError, match=r"A loader process failed \(DataLoader worker \(pid\(s\) \d+\) exited"
        ):
            next_batch(loaded)
        assert time.monotonic() - begun_s < 2 * POLL_S
    assert not any(worker.is_alive() for worker in loaded._workers)
