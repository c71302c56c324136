"""What a run tells while it goes: a line for people, JSON lines for programs, events for TensorBoard."""

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vfm.shards.atomic import write_bytes

Record = Mapping[str, float]
LOG_NAME, EVENTS_FOLDER = "log.jsonl", "tb"


class Target(Protocol):
    """Somewhere records go.

    Attributes:
        lost: a sentence about what an earlier run had written here and is lost; empty when nothing is.
    """

    @property
    def lost(self) -> str:
        """See above."""

    def write(self, record: Record) -> None:
        """Take one record; it holds ``step``."""

    def close(self) -> None:
        """Give up what is open."""


class RunLog:
    """Writes each record to every target; one that fails is dropped with a warning, and training goes on."""

    def __init__(self, targets: Mapping[str, Callable[[], Target]], *, say: Callable[[str], None]) -> None:
        """Open the targets, given by name."""
        self._say = say
        self._open: dict[str, Target] = {}
        for name, make in targets.items():
            try:
                self._open[name] = make()
            except OSError as error:
                self._warn(name, error)
        for target in self._open.values():
            if target.lost:
                say(target.lost)

    def write(self, record: Record) -> None:
        """Give one record to every target that still works."""
        for name, target in list(self._open.items()):
            try:
                target.write(record)
            except OSError as error:
                del self._open[name]
                self._warn(name, error)
                with contextlib.suppress(OSError):
                    target.close()

    def close(self) -> None:
        """Close all targets."""
        for name, target in self._open.items():
            try:
                target.close()
            except OSError as error:
                self._warn(name, error)

    def _warn(self, name: str, error: OSError) -> None:
        self._say(f"Logging to {name} stopped ({error.strerror or error}); the training goes on without it.")


class JsonLines:
    """``log.jsonl``: one JSON object per line."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        """Open ``path`` to go on after ``after_step``; lines of later steps and unreadable ones go."""
        self.lost = ""
        if path.exists():
            found = read_records(path)
            self.lost = found.lost
            kept = [record for record in found.records if record["step"] <= after_step]
            write_bytes(path, b"".join(_line(record) for record in kept))
        self._file = path.open("ab", buffering=0)

    def write(self, record: Record) -> None:
        """Append one line, at once and whole.

        Raises:
            OSError: the disk is full or refuses; nothing of the line stays.
        """
        left = memoryview(_line(record))
        end = os.fstat(self._file.fileno()).st_size
        try:
            while left:  # a disk that fills up takes a part, and refuses only the next one
                left = left[self._file.write(left) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Events:
    """TensorBoard's event file, written by the training's own thread: no error gets lost in another."""

    lost = ""  # a new file each time

    def __init__(self, folder: Path, *, after_step: int) -> None:
        """Open a new event file in ``folder``; TensorBoard hides what older ones hold past ``after_step``."""
        # tensorboard ships no types; imported by the one rank that writes.
        from tensorboard.compat.proto.event_pb2 import (  # type: ignore[import-untyped]  # noqa: PLC0415
            Event,
            SessionLog,
        )
        from tensorboard.summary.writer.record_writer import (  # type: ignore[import-untyped]  # noqa: PLC0415
            RecordWriter,
        )

        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._event = Event
        self._records = RecordWriter((folder / name).open("wb"))
        self._add(Event(file_version="brain.Event:2"))
        self._add(Event(session_log=SessionLog(status=SessionLog.START), step=after_step + 1))

    def write(self, record: Record) -> None:
        """Write every number of the record as a scalar of its name."""
        event = self._event(step=int(record["step"]))
        for name, value in record.items():
            if name != "step":
                event.summary.value.add(tag=name, simple_value=value)
        self._add(event)

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
        self._records.flush()


class Lines:
    """One readable line per record: step, losses, rate, speed, share of waiting for data, time left."""

    lost = ""

    def __init__(self, say: Callable[[str], None], *, num_steps: int) -> None:
        self._say = say
        self._num_steps = num_steps

    def write(self, record: Record) -> None:
        """Say one line."""
        self._say(format_line(record, num_steps=self._num_steps))

    def close(self) -> None:
        """Nothing is open."""


# Numbers of a record that are not losses of a method.
TIMING = ("step", "epoch", "lr", "grad_norm", "samples_per_s", "data_wait", "elapsed_s", "left_s")


def format_line(record: Record, *, num_steps: int) -> str:
    """Return a record as a line of text."""
    losses = "  ".join(f"{name} {value:.4g}" for name, value in record.items() if name not in TIMING)
    left = int(record["left_s"])
    return (
        f"step {record['step']:.0f}/{num_steps}  {losses}  lr {record['lr']:.2e}  "
        f"{record['samples_per_s']:.1f} samples/s  waiting for data {record['data_wait']:.1%}  "
        f"left {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a ``log.jsonl`` holds.

    Attributes:
        records: of the lines that read, each with its ``step``.
        lost: a sentence about the lines that do not; empty when all do.
    """

    records: list[dict[str, float]]
    lost: str


def read_records(path: Path) -> Records:
    """Return what can be read of a ``log.jsonl``: a kill tears its last line, a bad disk any."""
    lines = path.read_bytes().split(b"\n")
    # A whole line ends in one: what comes after the last is nothing, or torn.
    read = [_record(line) for line in (lines if lines[-1] else lines[:-1])]
    bad = [number for number, record in enumerate(read, start=1) if record is None]
    told = f"{len(bad)} of {len(read)} lines of {path} cannot be read and are left out; the first is line "
    return Records(
        records=[record for record in read if record is not None], lost=f"{told}{bad[0]}." if bad else ""
    )


def _record(line: bytes) -> dict[str, float] | None:
    try:
        value = json.loads(line)
        is_record = isinstance(value, dict) and "step" in value and all(map(_is_number, value.values()))
    except (ValueError, OverflowError, RecursionError):
        return None
    return value if is_record else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _line(record: Record) -> bytes:
    # JSON has no NaN: a part that is not finite (an accuracy over nothing) is left out.
    finite = {name: value for name, value in record.items() if math.isfinite(value)}
    return json.dumps(finite, allow_nan=False).encode() + b"\n"
