"""What becomes of a task, whoever runs it."""

from dataclasses import dataclass
from typing import Any, Literal

from vfm.shards.io.spool import Payload

Failure = Literal["timeout", "crash", "oom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of one task.

    Attributes:
        head: the handler's answer, None when the worker was lost.
        body: the bytes that came with it.
        failure: how the worker was lost, twice: it took too long, or it crashed, then also alone; ``oom``
            when it was killed, which nobody but the system does when memory runs out.
        message: one sentence about that.
    """

    head: Any = None
    body: Payload = b""
    failure: Failure | None = None
    message: str = ""
