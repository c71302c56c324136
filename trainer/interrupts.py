"""Signals that ask a run to stop: noted, so that the loop can save at the end of its step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STOPPING = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGUSR1,
)  # SIGUSR1 is what schedulers send before they preempt


@dataclass(slots=True)
class Interrupt:
    """Which signal came; 0 for none."""

    number: int = 0


@contextmanager
def catch_interrupts() -> Iterator[Interrupt]:
    """Note the first signal that asks to stop; a second one does what it did before this block.

    Outside the main thread, where Python lets nobody catch signals, none is ever noted.
    """
    note = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield note
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        note.number = number
        restore()

    before = {number: signal.signal(number, remember) for number in STOPPING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield note
    finally:
        restore()
