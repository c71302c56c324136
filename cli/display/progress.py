"""Progress of a long job: a bar in a terminal, lines in a pipe."""

import sys
import time
from typing import TYPE_CHECKING, Any

from vfm.cli.display.output import say
from vfm.cli.display.text import printable
from vfm.shards.wording import clock

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_LINE_EVERY_S = 5.0


def make_progress() -> "LineProgress | BarProgress":
    """Return what draws the progress of a long job: a bar on a terminal, plain lines anywhere else."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()


class _Counts:
    """How many pieces have come to which end."""

    def __init__(self, total: int, what: str, *, done: int = 0) -> None:
        self.total, self.what, self.before = total, what, done
        self.ok = self.partial = self.rejected = self.num_frames = 0

    def add(self, *, ok: int, partial: int, rejected: int, num_frames: int) -> None:
        self.ok += ok
        self.partial += partial
        self.rejected += rejected
        self.num_frames += num_frames

    @property
    def done(self) -> int:
        return self.before + self.ok + self.partial + self.rejected

    def details(self) -> str:
        """Return what else is worth telling; nothing while all is well."""
        counts = {"partial": self.partial, "rejected": self.rejected, "frames": self.num_frames}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


class LineProgress:
    """Progress as plain lines for log files: one in five seconds at most, or those that the job asks for.

    A job that tells figures says itself when a line is due: a training of days is not to fill its log with
    one every five seconds.
    """

    def __init__(self) -> None:
        self._counts = _Counts(0, "")
        self._said_s, self._said_done, self._rate = 0.0, 0, 0.0
        self._is_timed = True

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        """Begin; the first line comes when there is something to tell."""
        self._counts = _Counts(total, what, done=done)
        self._said_s, self._said_done, self._rate = time.monotonic(), done, 0.0
        self._is_timed = True

    def advance(
        self, *, ok: int = 0, partial: int = 0, rejected: int = 0, num_frames: int = 0, note: str = ""
    ) -> None:
        """Count, and say so when the last line is old enough; a note is said at once."""
        self._counts.add(ok=ok, partial=partial, rejected=rejected, num_frames=num_frames)
        if note:
            say(f"note: {note}")
        if self._is_timed and time.monotonic() - self._said_s >= _LINE_EVERY_S:
            self._say(self._counts.details())

    def report(self, figures: str) -> None:
        """Say it at once, and nothing by the clock from now on."""
        self._is_timed = False
        self._say(figures)

    def finish(self) -> None:
        """Say how far it came, unless the last line did."""
        if self._counts.total and self._counts.done != self._said_done:
            self._say(self._counts.details())

    def _say(self, details: str) -> None:
        now_s, counts = time.monotonic(), self._counts
        if counts.done != self._said_done:
            self._rate = (counts.done - self._said_done) / max(now_s - self._said_s, 1e-3)
        left = counts.total - counts.done
        parts = [f"{counts.done} of {counts.total} {counts.what}"]
        if details:
            parts.append(details)
        if left and self._rate:
            parts.append(f"{clock(left / self._rate)} left")
        say(", ".join(parts))
        self._said_s, self._said_done = now_s, counts.done


class BarProgress:
    """Progress as a bar that is redrawn in place."""

    def __init__(self) -> None:
        self._counts = _Counts(0, "")
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, total: int, what: str, *, done: int = 0) -> None:
        """Draw the bar, empty but for what was done before."""
        from rich import progress
        from rich.console import Console

        self._counts = _Counts(total, what, done=done)
        columns: list[Any] = [
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[details]}", markup=False),
            progress.TimeRemainingColumn(),
        ]
        self._bar = progress.Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task(printable(what), total=total, completed=done, details="")
        self._bar.start()

    def advance(
        self, *, ok: int = 0, partial: int = 0, rejected: int = 0, num_frames: int = 0, note: str = ""
    ) -> None:
        """Count and redraw; a note stays above the bar."""
        self._counts.add(ok=ok, partial=partial, rejected=rejected, num_frames=num_frames)
        if self._bar is None or self._task is None:
            if note:
                say(f"note: {note}")
            return
        if note:
            self._bar.console.print(printable(note), style="yellow", markup=False, highlight=False)
        self._bar.update(self._task, completed=self._counts.done, details=self._counts.details())

    def report(self, figures: str) -> None:
        """Put a line above the bar."""
        if self._bar is not None:
            line = f"{self._counts.done} of {self._counts.total} {self._counts.what}, {figures}"
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()
