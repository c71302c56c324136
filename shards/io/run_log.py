"""The log of a long job: lines that a bad disk spoils one by one, and none of them worth the job."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vfm.shards.io.atomic import write_bytes

Record = Mapping[str, float]
LOG_NAME = "log.jsonl"


class LogSink(Protocol):
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

    def __init__(self, targets: Mapping[str, Callable[[], LogSink]], *, say: Callable[[str], None]) -> None:
        """Open the targets, given by name."""
        self._say = say
        self._open: dict[str, LogSink] = {}
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
        self._say(f"Logging to {name} stopped ({error.strerror or error}); training continues without it.")


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
