"""What a long job tells while it runs; the command line draws it, a library user may ignore it."""

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Receives progress updates of a job. Called from the job's main thread only."""

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        """Begin: ``total`` pieces of work, ``done`` of them before; ``what`` names them: ``videos``."""

    def advance(
        self, *, ok: int = 0, partial: int = 0, rejected: int = 0, num_frames: int = 0, note: str = ""
    ) -> None:
        """Count finished pieces by outcome; ``note`` is a sentence the user should read now."""

    def report(self, figures: str) -> None:
        """Tell how the job stands, such as its losses: worth a line in a log."""

    def finish(self) -> None:
        """End, whether all pieces are done or not."""


class NoProgress:
    """The progress of a job nobody watches."""

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        """Do nothing."""

    def advance(
        self, *, ok: int = 0, partial: int = 0, rejected: int = 0, num_frames: int = 0, note: str = ""
    ) -> None:
        """Do nothing."""

    def report(self, figures: str) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


class CallbackProgress:
    """Calls a function with how many pieces of work are done, how many there are, and what they are.

    Args:
        callback: such as ``lambda done, total, what: print(f"{done} of {total} {what}")``.
    """

    def __init__(self, callback: Callable[[int, int, str], None]) -> None:
        self._callback = callback
        self._done, self._total, self._what = 0, 0, ""

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        """Begin; see `Progress`."""
        self._done, self._total, self._what = done, total, what
        self._callback(done, total, what)

    def advance(
        self, *, ok: int = 0, partial: int = 0, rejected: int = 0, num_frames: int = 0, note: str = ""
    ) -> None:
        """Count finished pieces, whatever came of them."""
        del num_frames, note
        self._done += ok + partial + rejected
        self._callback(self._done, self._total, self._what)

    def report(self, figures: str) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""
