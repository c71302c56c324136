"""Worker processes that may hang, crash or swallow memory at the cost of one task each.

The processes are started afresh (never forked), talk over a socket pair, and can be killed at any moment.
Results come back in the order of the tasks, whatever order they are finished in. A worker dies with its
parent, never gets Ctrl-C (its process group is its own), and is limited in time and in address space.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import IO, Any, Self

from vfm.shards.errors import MachineError
from vfm.shards.io.spool import Spool
from vfm.video2token.execution.executor import Failure, Reply
from vfm.video2token.execution.messages import READY, REPLY, REQUEST

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from vfm.video2token.execution.child import main; main()"
)
_CHUNK_BYTES = 1 << 20
_START_LIMIT_S = 120.0
_SILENCE_LIMIT_S = 30.0  # for a reply that has begun
_LOOK_EVERY_S = 1.0
_EXIT_LIMIT_S = 1.0
_END_LIMIT_S = 5.0  # a killed process may still hang in the kernel, on a dead network disk for instance
_MAX_FAILED_STARTS = 3
_MAX_WAITING = 1024  # results that wait for an earlier one, however small they are


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    index: int
    value: Any
    is_retry: bool = False
    is_alone: bool = False


class _Incoming:
    """A reply on its way."""

    def __init__(self) -> None:
        self._start = bytearray()  # until the head is whole
        self._head: Any = None
        self._body: Spool | None = None
        self._body_bytes = 0

    def take(self, chunk: bytes) -> Reply | None:
        """Take what came next, and return the reply once it is whole."""
        if self._body is None:
            self._start += chunk
            chunk = self._rest_of_start()
        if self._body is None:
            return None
        self._body.append(chunk)
        is_whole = len(self._body) >= self._body_bytes
        return Reply(head=self._head, body=self._body.payload()) if is_whole else None

    def _rest_of_start(self) -> bytes:
        """Read the head if it is whole, and return what came of the body with it."""
        if len(self._start) < REPLY.size:
            return b""
        head_bytes, body_bytes = REPLY.unpack_from(self._start)
        body_at = REPLY.size + head_bytes
        if len(self._start) < body_at:
            return b""
        self._head = json.loads(self._start[REPLY.size : body_at])
        self._body, self._body_bytes = Spool(), body_bytes
        return bytes(self._start[body_at:])


@dataclass(slots=True, kw_only=True, eq=False)
class _Worker:
    process: "subprocess.Popen[bytes]"
    connection: socket.socket
    errors: IO[bytes]  # what it says on stderr
    task: _Task | None = None
    is_ready: bool = False
    left_s: float = _START_LIMIT_S  # until it is given up
    incoming: "_Incoming" = field(default_factory=_Incoming)

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.task is None


class ProcessExecutor:
    """Runs one handler over many tasks; a context manager, leaving it kills all workers.

    Args:
        handler: ``package.module:function``; it takes a JSON value and returns a JSON value and bytes.
        num_workers: how many processes work at once.
        timeout_s: wall time of one task. Only time during which this process was awake counts.
        memory_bytes: address space of each worker.
        max_waiting_bytes: while results that wait for an earlier one hold more, no new task starts.
    """

    def __init__(
        self,
        handler: str,
        *,
        num_workers: int,
        timeout_s: float,
        memory_bytes: int,
        max_waiting_bytes: int = 256 << 20,
    ) -> None:
        self._config = {"handler": handler, "memory_bytes": memory_bytes}
        self._num_workers = num_workers
        self._timeout_s = timeout_s
        self._max_waiting_bytes = max_waiting_bytes
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._queue: deque[_Task] = deque()  # the next task, once it was looked at
        self._retries: deque[_Task] = deque()
        self._done: dict[int, Reply] = {}
        self._num_failed_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for worker in self._workers:
            _kill(worker)
        for worker in list(self._workers):
            self._end(worker)
        self._selector.close()

    def run(self, values: Iterable[Any]) -> Iterator[Reply]:
        """Yield one reply for each value, in the order of the values.

        Raises:
            MachineError: workers do not start.
        """
        tasks = (_Task(index=index, value=value) for index, value in enumerate(values))
        index = 0
        while True:
            while index in self._done:
                yield self._done.pop(index)
                index += 1
            self._hand_out(tasks)
            if not (self._queue or self._retries or any(worker.task for worker in self._workers)):
                return
            self._wait()

    def _hand_out(self, tasks: Iterator[_Task]) -> None:
        while queue := self._startable(tasks):
            while len(self._workers) < self._num_workers:
                self._start()
            idle = next((worker for worker in self._workers if worker.is_idle), None)
            if idle is None:
                return
            self._give(idle, queue.popleft())

    def _startable(self, tasks: Iterator[_Task]) -> deque[_Task]:
        """Return the queue whose first task may start now; an empty one when none may."""
        if not self._queue:
            self._queue.extend(task for task in [next(tasks, None)] if task is not None)
        running = [worker.task for worker in self._workers if worker.task]
        if any(task.is_alone for task in running):
            return deque()
        if self._retries:  # these go first, for results of later tasks wait for theirs
            return deque() if running and self._retries[0].is_alone else self._retries
        waiting_bytes = sum(len(reply.body) for reply in self._done.values())
        is_full = waiting_bytes > self._max_waiting_bytes or len(self._done) >= _MAX_WAITING
        return deque() if is_full else self._queue

    def _start(self) -> None:
        try:
            self._workers.append(self._started())
        except OSError as error:
            raise MachineError(
                f"A worker process cannot be started ({error.strerror}): use fewer --workers."
            ) from error
        worker = self._workers[-1]
        self._selector.register(worker.connection, selectors.EVENT_READ, worker)
        _send(worker, self._config)

    def _started(self) -> _Worker:
        ours, theirs = socket.socketpair()
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the worker)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        return _Worker(process=process, connection=ours, errors=errors)

    def _give(self, worker: _Worker, task: _Task) -> None:
        worker.task, worker.left_s = task, self._timeout_s
        _send(worker, task.value)

    def _wait(self) -> None:
        """Wait until a worker says something or is given up."""
        watched = [worker for worker in self._workers if not worker.is_idle]
        timeout_s = min([_LOOK_EVERY_S, *(worker.left_s for worker in watched)])
        before_s = time.monotonic()
        heard: list[_Worker] = [key.data for key, _ in self._selector.select(max(0.0, timeout_s))]
        # Time beyond the timeout was not ours: the job was stopped (Ctrl-Z), or the machine was.
        slept_s = min(time.monotonic() - before_s, timeout_s)
        for worker in watched:
            worker.left_s -= slept_s
            if worker.left_s <= 0 and worker not in heard:
                self._lose(worker, "timeout")
        for worker in heard:
            self._read(worker)

    def _read(self, worker: _Worker) -> None:
        try:
            chunk = worker.connection.recv(_CHUNK_BYTES)
        except ConnectionError:
            chunk = b""
        if not chunk:
            self._lose(worker, "crash")
            return
        worker.left_s = max(worker.left_s, _SILENCE_LIMIT_S)
        if reply := worker.incoming.take(chunk):
            worker.incoming = _Incoming()
            self._finish(worker, reply)

    def _finish(self, worker: _Worker, reply: Reply) -> None:
        if worker.task is None:
            worker.is_ready = reply.head == READY
            self._num_failed_starts = 0
        else:
            self._done[worker.task.index] = reply
            worker.task = None

    def _lose(self, worker: _Worker, failure: Failure) -> None:
        """Put an end to a worker, and see what becomes of its task."""
        task, was_ready = worker.task, worker.is_ready
        if failure == "crash":  # its socket closed; a moment later it can tell its own exit status
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(timeout=_EXIT_LIMIT_S)
        last_words = self._end(worker)
        if not was_ready:
            self._num_failed_starts += 1
            if self._num_failed_starts >= _MAX_FAILED_STARTS:
                raise MachineError(f"Worker processes do not start ({last_words}): see that memory is free.")
        elif task is not None and not task.is_retry:
            # A crash may have been the fault of what ran beside it; a hang is waited for beside the others.
            self._retries.append(replace(task, is_retry=True, is_alone=failure == "crash"))
        elif task is not None:
            self._done[task.index] = self._reply_of_lost(worker, failure, last_words=last_words)

    def _reply_of_lost(self, worker: _Worker, failure: Failure, *, last_words: str) -> Reply:
        if failure == "timeout":
            return Reply(failure=failure, message=f"It took longer than {self._timeout_s:g} s.")
        if worker.process.returncode == -signal.SIGKILL:
            message = f"Its {last_words}, as the system does when memory runs out."
            return Reply(failure="oom", message=message)
        return Reply(failure=failure, message=f"Its {last_words}.")

    def _end(self, worker: _Worker) -> str:
        """Kill a worker with all that it started, and return how it ended."""
        self._workers.remove(worker)
        with contextlib.suppress(KeyError):  # a signal can end a start halfway
            self._selector.unregister(worker.connection)
        worker.connection.close()
        _kill(worker)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(timeout=_END_LIMIT_S)
        with worker.errors as errors:
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - 2000))
            said = errors.read().decode("utf-8", "replace").strip().splitlines()
        return _how_it_ended(worker.process.returncode) + (f": {said[-1]}" if said else "")


def _kill(worker: _Worker) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.process.pid, signal.SIGKILL)


def _send(worker: _Worker, value: Any) -> None:
    text = json.dumps(value).encode()
    # A worker that is gone is noticed where its answer is awaited.
    with contextlib.suppress(ConnectionError):
        worker.connection.sendall(REQUEST.pack(len(text)) + text)


def _how_it_ended(returncode: int | None) -> str:
    if returncode is None:
        return "process could not be killed"
    if returncode < 0:
        return f"process was ended by {signal.Signals(-returncode).name}"
    return f"process ended with status {returncode}"
