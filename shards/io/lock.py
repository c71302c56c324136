"""One writer per dataset: an advisory lock that the kernel drops when its holder dies, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vfm.shards.errors import MachineError
from vfm.shards.io.atomic import clean_stale, is_stale

LOCK_NAME = ".lock"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold ``folder/.lock`` for the length of the block, with our process id written inside.

    The folder must exist. The file stays behind empty; a lock of a killed job is free at once, and what that
    job left half-written in the folder is removed.

    Raises:
        MachineError: another job holds it (named by its process id), or the folder refuses the file.
    """
    with _opened(folder) as descriptor:
        _take(descriptor, folder=folder)
        with _writing(folder):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)  # for people: may be torn on a full disk
            clean_stale(folder)
        try:
            yield
        finally:
            # The work is done and the kernel drops the lock anyway: a disk that refuses now spoils nothing.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            # Unlocked by hand: children forked meanwhile share the descriptor and would keep the lock.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)


def held_names(folder: Path) -> set[str]:
    """Return the names in ``folder``, without the lock and temporary files that a job killed early leaves."""
    return {path.name for path in folder.iterdir() if path.name != LOCK_NAME and not is_stale(path)}


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
    except OSError:
        return False  # where nothing can be locked nobody holds a lock
    finally:
        _close(descriptor)
    return False


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    with _writing(folder):
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        _close(descriptor)


def _close(descriptor: int) -> None:
    with suppress(OSError):  # NFS tells late faults of writing here; nothing that was written matters
        os.close(descriptor)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(
            f"{folder} cannot be written ({reason.lower()}): choose a folder that you may write to."
        ) from error


def _take(descriptor: int, *, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MachineError(
            f"{folder} is being written by {_holder(descriptor)}: "
            "wait until it ends, then run this command again."
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(
            f"{folder} cannot be locked ({reason.lower()}): choose a folder on a file system with locks."
        ) from error


def _holder(descriptor: int) -> str:
    pid = ""
    with suppress(OSError):
        pid = os.pread(descriptor, 32, 0).decode("ascii", "replace")
    # Without its end of line the number may be half of one.
    return f"process {pid.strip()}" if pid.strip().isdigit() and pid.endswith("\n") else "another process"
