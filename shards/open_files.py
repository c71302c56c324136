"""How many files a process may have open, and what is told when they are too few."""

import errno
import os
import resource
from contextlib import suppress

from vfm.shards.errors import MachineError

_MAX_OPEN_SHARDS = 128  # of one column; mapping one again costs microseconds
_SHARE = 8  # a few columns together take half of what the process may open


def raise_limit() -> None:
    """Let this process, and those that it starts, open as many files as the system allows.

    The usual soft limit of 1,024 is for programs that call ``select``; the hard one is far higher.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS calls it unlimited and takes no such number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def max_open_shards() -> int:
    """Return how many shards of one column may be open at once: each map holds a descriptor."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MAX_OPEN_SHARDS
    return max(1, min(_MAX_OPEN_SHARDS, soft // _SHARE))


def told_of_limit(error: OSError | RuntimeError) -> MachineError | None:
    """Return the sentence for an error that says that too many files are open; None for any other.

    torch tells of its loader's by a RuntimeError.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number not in {errno.EMFILE, errno.ENFILE} and os.strerror(errno.EMFILE) not in str(error):
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MachineError(
        f"Too many files are open, this process may have {soft}: "
        "run `ulimit -n 1024` (or a higher number) and the same command again."
    )
