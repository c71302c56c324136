"""The inside of a worker process: limits itself, then answers task after task."""

import contextlib
import importlib
import json
import resource
import socket
import sys
from pathlib import Path
from typing import Any

from vfm.shards.io.spool import Payload, pieces_of
from vfm.shards.parent import die_with
from vfm.video2token.execution.messages import READY, REPLY, REQUEST


def main() -> None:
    """Answer the pool over the socket that the command line names, until it closes its end.

    An error of the handler ends the process: the pool reports it, and the next task starts afresh.
    """
    descriptor, parent_pid = int(sys.argv[-2]), int(sys.argv[-1])
    die_with(parent_pid)
    connection = socket.socket(fileno=descriptor)
    config = _receive(connection)
    module, _, name = config["handler"].partition(":")
    handler = getattr(importlib.import_module(module), name)
    _limit(memory_bytes=config["memory_bytes"])
    _send(connection, READY, b"")
    while (task := _receive(connection)) is not None:
        head, body = handler(task)
        _send(connection, head, body)


def _limit(*, memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # When the machine runs out of memory this process goes first, not the job.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("700")


def _receive(connection: socket.socket) -> Any:
    """Return the next JSON value, None when the pool has closed."""
    header = _exactly(connection, REQUEST.size)
    return json.loads(_exactly(connection, *REQUEST.unpack(header))) if header else None


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        chunk = connection.recv(length - len(data))
        if not chunk:
            return b""
        data += chunk
    return bytes(data)


def _send(connection: socket.socket, head: Any, body: Payload) -> None:
    text = json.dumps(head).encode()
    connection.sendall(REPLY.pack(len(text), len(body)) + text)
    for piece in pieces_of(body):
        connection.sendall(piece)
