"""The loader's processes: started so that signals are left to their parent, asked, and ended."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from torch.utils.data import DataLoader

from vfm.shards.errors import MachineError
from vfm.shards.parent import die_with
from vfm.trainer.interrupts import STOPPING

TIMEOUT_S = 300.0
POLL_S = 2.0  # how long a dead process may stay unnoticed


@contextmanager
def reading(loader: DataLoader[Any]) -> Iterator[Iterator[Any]]:
    """Give an iterator over the batches of ``loader``, whose processes end with the block.

    A loader with processes has ``POLL_S`` as its timeout and `leave_signals_to_the_parent` at their start.
    """
    loaded = _started(loader)
    try:
        yield loaded
    finally:
        _end(loaded)


def next_batch(loaded: Iterator[Any]) -> Any:
    """Return the next batch.

    Raises:
        MachineError: a process has died, or has given nothing for ``TIMEOUT_S``.
    """
    # Polls are counted, not the time: while the job is stopped (Ctrl-Z), nobody is late.
    for _ in range(round(TIMEOUT_S / POLL_S)):
        try:
            return next(loaded)
        except (ConnectionError, EOFError) as error:
            raise _lost(error) from error
        except RuntimeError as error:
            # torch looks at its processes when it has waited for its timeout, then says one or the other. Its
            # iterator stands where it stood, so that it may be asked again.
            if str(error).startswith("DataLoader worker (pid"):
                raise _lost(error) from error
            if not str(error).startswith("DataLoader timed out"):
                raise
    raise _lost(TimeoutError(f"it gave nothing for {TIMEOUT_S:g} s"))


def leave_signals_to_the_parent(_worker: int) -> None:
    """Hear SIGTERM from the parent alone, and end when it does; a process starts with all signals blocked."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a process of the loader"
    assert parent.pid is not None, "it has started us"
    die_with(parent.pid)
    threading.Thread(target=_end_when_told, args=(parent.pid,), daemon=True).start()


def _end_when_told(parent_pid: int) -> None:
    # Sent to the process group, as Slurm does, it is for the parent, which needs us until it has saved.
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent_pid:
        pass
    os._exit(0)


def _started(loader: DataLoader[Any]) -> Iterator[Any]:
    if not loader.num_workers:
        return iter(loader)
    held_back = {*STOPPING, signal.SIGCHLD}
    # First and apart, for Python's tracker of shared memory unblocks SIGTERM and SIGINT as it starts.
    with _blocked(held_back):
        resource_tracker.ensure_running()
    with _blocked(held_back), _kept_handler(signal.SIGCHLD):
        return iter(loader)


@contextmanager
def _blocked(numbers: set[signal.Signals]) -> Iterator[None]:
    """Hold signals back in the block; processes that are started in it never get them unless they ask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _kept_handler(number: signal.Signals) -> Iterator[None]:
    """Put back the handler that is replaced in the block.

    torch's own raises in whatever line the main thread is, be it one that must not fail.
    """
    before = signal.getsignal(number)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(number, before)


def _end(loaded: Iterator[Any]) -> None:
    """End the processes, also one that hangs."""
    if not hasattr(loaded, "_shutdown_workers"):
        return  # there are none
    with suppress(RuntimeError):  # torch tells of the dead one once more
        loaded._shutdown_workers()
    for worker in getattr(loaded, "_workers", ()):
        worker.kill()
        worker.join()


def _lost(error: Exception) -> MachineError:
    told = str(error).splitlines() or ["its connection broke"]
    return MachineError(
        f"A loader process failed ({told[0]}): "
        "run the same command again to resume, with --workers 0 if it happens again."
    )
