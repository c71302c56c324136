"""Starts the ranks of a command on this machine, as torchrun does, and ends them together."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType
from typing import IO

from vfm.shards.errors import UsageError
from vfm.shards.parent import dying_with

_RANK, _SIZE = "RANK", "WORLD_SIZE"
_POLL_S = 0.05
_GRACE_S = 30.0  # for ranks whose peer has failed: gloo and NCCL notice it, and each has a sentence to say
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rank:
    process: subprocess.Popen[bytes]
    errors: IO[bytes] | None


def wants_ranks(num_ranks: int | None) -> bool:
    """Return whether ranks are asked for that do not run yet; this process is one of them otherwise.

    Raises:
        UsageError: another number of ranks was started already.
    """
    if num_ranks is None:
        return False
    if _RANK not in os.environ:
        return num_ranks > 1  # one needs no process of its own
    if os.environ[_SIZE] != str(num_ranks):
        raise UsageError(
            f"--nproc {num_ranks} is given to one of {os.environ[_SIZE]} ranks that run already: leave it "
            "out under torchrun."
        )
    return False


def launch(command: Sequence[str], *, num_ranks: int) -> int:
    """Run a command once for each rank until all have ended; return the exit status of the first to fail.

    Signals that ask to stop go on to the ranks, each of which saves and ends by itself. When one fails, the
    others get half a minute to notice. What is written by rank 0 is seen at once; of the others, what the one
    that failed first has written to stderr, unless rank 0 has failed alike and said so itself.

    Args:
        command: of a process, which finds its rank in the environment as under torchrun.
        num_ranks: how many.
    """
    with ExitStack() as held:
        ranks: list[_Rank] = []
        received: list[int] = []
        # Heard before the first rank runs, which could not be told to stop otherwise.
        before = {number: signal.signal(number, _forward(ranks, received)) for number in _FORWARDED}
        try:
            for place in _places(num_ranks):
                ranks.append(_start(command, place=place, held=held))
                for number in received:
                    ranks[-1].process.send_signal(number)
            first = _first_to_fail(ranks)
            if first is not None:
                _end(ranks)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for rank in ranks:
                rank.process.kill()
                rank.process.wait()
        if first is None:
            return 0
        status = first.process.returncode
        if ranks[0].process.returncode != status:
            _tell(first)
        return 128 - status if status < 0 else status


def _places(num_ranks: int) -> list[dict[str, str]]:
    """Return the environment of each rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), _SIZE: str(num_ranks)}
    # Each rank would take all cores otherwise, and all together far more than there are.
    shared.setdefault("OMP_NUM_THREADS", str(max(len(os.sched_getaffinity(0)) // num_ranks, 1)))
    return [{**shared, _RANK: str(i), "LOCAL_RANK": str(i)} for i in range(num_ranks)]


def _start(command: Sequence[str], *, place: dict[str, str], held: ExitStack) -> _Rank:
    is_heard = place[_RANK] == "0"
    errors = None if is_heard else held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (held open)
    process = subprocess.Popen(
        command,
        env=place,
        stdin=subprocess.DEVNULL,
        stdout=None if is_heard else subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,  # so that Ctrl-C reaches a rank once, by us
        preexec_fn=dying_with(os.getpid()),  # noqa: PLW1509 (takes no lock)
    )
    return _Rank(process=process, errors=errors)


def _forward(ranks: Sequence[_Rank], received: list[int]) -> "signal._HANDLER":
    def handler(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for rank in ranks:
            rank.process.send_signal(number)

    return handler


def _first_to_fail(ranks: Sequence[_Rank]) -> _Rank | None:
    """Wait until all ranks have ended well, or one has not, and return that."""
    while True:
        states = [rank.process.poll() for rank in ranks]
        failed = [rank for rank, state in zip(ranks, states, strict=True) if state]
        if failed:
            return failed[0]
        if None not in states:
            return None
        time.sleep(_POLL_S)


def _end(ranks: Sequence[_Rank]) -> None:
    """Wait for the other ranks for a while."""
    deadline_s = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline_s and any(rank.process.poll() is None for rank in ranks):
        time.sleep(_POLL_S)


def _tell(first: _Rank) -> None:
    if first.errors is None:
        return
    first.errors.seek(0)
    sys.stderr.write(first.errors.read().decode(errors="replace"))
    sys.stderr.flush()
