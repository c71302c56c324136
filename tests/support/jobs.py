"""Runs ``vfm extract`` as a user does and knows what must hold whatever befalls it: for the fault tests."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from vfm.shards.format.plan import read_plan
from vfm.shards.format.sample import SampleMeta
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.verification.verify import verify

VFM = [sys.executable, "-m", "vfm.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
_STORED = ("*.tar", "*.index.parquet", "plan.parquet", "quarantine.jsonl", "dataset.json")


def extract_line(*arguments: object) -> list[str]:
    """Return the command line; the tests' usual options stand where ``arguments`` do not say otherwise."""
    given = ["extract", *map(str, arguments)]
    for name, usual in {"--fps": "5", "--size": "48", "--workers": "1"}.items():
        if name not in given:
            given += [name, usual]
    return [*VFM, *given]


def extract(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    settings = {"capture_output": True, "text": True, "env": ENVIRONMENT, "timeout": 250}
    return subprocess.run(extract_line(*arguments), check=False, **{**settings, **options})


def start(*arguments: object, **options: Any) -> "subprocess.Popen[str]":
    """Start the command in a session of its own, as a terminal would."""
    settings = {"stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT, "start_new_session": True}
    return subprocess.Popen(extract_line(*arguments), **{**settings, **options})


def stored(data: Path) -> dict[str, bytes]:
    """Return the bytes that may not depend on what befell the job."""
    return {path.name: path.read_bytes() for name in _STORED for path in sorted(data.rglob(name))}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a source: ``ok``, ``partial`` or a reason, and the sample when there is one."""

    word: str
    message: str = ""
    meta: SampleMeta | None = None


def outcomes(data: Path) -> dict[str, Outcome]:
    """Return the outcome of every source by its identity, once it is certain that each has exactly one."""
    dataset = open_dataset(data)
    metas = [dataset.meta(index) for index in range(len(dataset))]
    ends = [(meta.source, Outcome(word=meta.outcome, meta=meta)) for meta in metas]
    for line in (data / "quarantine.jsonl").read_text().splitlines():
        rejection = json.loads(line)
        ends.append((rejection["source"], Outcome(word=rejection["reason"], message=rejection["message"])))
    planned = sorted(source.identity for source in read_plan(data / "plan.parquet").sources)
    assert sorted(identity for identity, _ in ends) == planned
    return dict(ends)


def assert_sound(data: Path) -> None:
    """Assert what holds whatever happened: hashes, counts and offsets are right, nothing is half-written."""
    assert list(verify(data)) == []
    assert [path.name for path in data.rglob("*.tmp*")] == []


def wait_for(is_true: Callable[[], bool], *, limit_s: float = 30.0) -> None:
    """Look every 10 ms until it is true."""
    deadline = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def num_shards(data: Path) -> int:
    """Return how many shards of the frames are done."""
    return len(list(data.glob("frames/*.json")))


def is_writing(data: Path) -> bool:
    """Return whether a shard is in the making."""
    return any(data.glob("frames/.*.tar.tmp*"))


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that ended may wait a while for the system to take note."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def survivors(processes: list[psutil.Process], *, after_s: float = 2.0) -> list[psutil.Process]:
    """Return which of them still run after a while."""
    _, left = psutil.wait_procs(processes, timeout=after_s)
    return [process for process in left if is_alive(process)]


def peak_rss_bytes(job: "subprocess.Popen[str]") -> dict[int, int]:
    """Wait for the job to end and return the greatest resident memory of each process under it.

    The kernel keeps the peak itself (``VmHWM``), so looking now and then misses next to nothing.
    """
    peaks: dict[int, int] = {}
    while job.poll() is None:
        for pid in _children(job.pid):
            peaks[pid] = max(peaks.get(pid, 0), _peak_of(pid))
        time.sleep(0.02)
    return peaks


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _peak_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)
