"""One writer per dataset: an advisory lock that the kernel drops when its holder dies, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfm.shards.errors import MachineError

LOCK_NAME = ".lock"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold ``folder/.lock`` for the length of the block, with our process id written inside.

    The folder must exist. The file stays behind empty; a lock of a killed job is free at once.

    Raises:
        MachineError: another job holds it (named by its process id), or the folder refuses the file.
    """
    descriptor = _open(folder)
    try:
        _take(descriptor, folder=folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
            # Unlocked by hand: children forked meanwhile share the descriptor and would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Return whether a job writes to ``folder`` at this moment; asks without disturbing it."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(folder: Path) -> int:
    try:
        return os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(
            f"{folder} cannot be written ({reason.lower()}): choose a folder that you may write to."
        ) from error


def _take(descriptor: int, *, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        holder = f"process {pid}" if pid.isdigit() else "another process"
        raise MachineError(
            f"{folder} is being written by {holder}: wait until it ends, then run this command again."
        ) from None
    except OSError as error:
        raise MachineError(
            f"{folder} cannot be locked ({error.strerror}): choose a folder on a file system with locks."
        ) from error
