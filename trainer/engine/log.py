"""What a run tells while it goes: figures for people, JSON lines for programs, events for TensorBoard."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vfm.shards.io.run_log import LOG_NAME, JsonLines, LogSink, Record
from vfm.shards.progress import Progress

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


class Figures:
    """Tells the figures of each record to whoever watches."""

    lost = ""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, record: Record) -> None:
        """Tell one record."""
        self._progress.report(format_figures(record))

    def close(self) -> None:
        """Nothing is open."""


def log_targets(out: Path, *, progress: Progress, step: int) -> dict[str, Callable[[], LogSink]]:
    """Return what opens each place that the records of a run go to, by name.

    Args:
        out: the run's folder.
        progress: who watches.
        step: what is logged after it is replaced.
    """
    return {
        LOG_NAME: lambda: JsonLines(out / LOG_NAME, after_step=step),
        EVENTS_FOLDER: lambda: Events(out / EVENTS_FOLDER, after_step=step),
        "the screen": lambda: Figures(progress),
    }


# Numbers of a record that are not losses of a method.
TIMING = (
    "step",
    "epoch",
    "lr",
    "grad_norm",
    "samples_per_s",
    "tokens_per_s",
    "mfu",
    "data_wait",
    "elapsed_s",
    "left_s",
)


def format_figures(record: Record) -> str:
    """Return the losses of a record, its learning rate, the speed and the share of waiting for data.

    Tokens a second are for programs.
    """
    losses = "  ".join(f"{name} {value:.4g}" for name, value in record.items() if name not in TIMING)
    used = f"MFU {record['mfu']:.1%}  " if "mfu" in record else ""
    return (
        f"{losses}  lr {record['lr']:.2e}  {record['samples_per_s']:.1f} samples/s  {used}"
        f"waiting for data {record['data_wait']:.1%}"
    )
