"""Processes that end with the one that started them, however it ends."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent, which is ``parent_pid``, ends."""
    dying_with(parent_pid)()


def dying_with(parent_pid: int) -> Callable[[], None]:
    """Return what does so and takes no lock: a child calls it between fork and exec."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        if sys.platform == "linux":
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it ended before the kernel was asked
            os._exit(1)

    return ask
