"""What a run tells while it goes: a line for people, JSON lines for programs, events for TensorBoard."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vfm.shards.log import LOG_NAME, JsonLines, Record, RunLog, Target

__all__ = ["EVENTS_FOLDER", "LOG_NAME", "Events", "JsonLines", "Lines", "RunLog", "Target", "format_line"]

EVENTS_FOLDER = "tb"


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
