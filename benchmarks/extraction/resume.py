"""How long `vfm extract` takes to find that a finished job has nothing left to do, and with how much memory.

    python benchmarks/extraction/resume.py [--sources 10000] [--rounds 5]

Makes a folder of as many sources (hard links of 50 tiny films, so that they cost no disk), extracts them
once, and then runs the same command again and again. Each run is a process of its own: start of Python,
listing of the folder, plan, scan of all shard reports, quarantine, summary. The median of the rounds counts.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

NUM_FILMS = 50  # a file system allows some 60,000 links to one file
FOLDER_SIZE = 1000
WIDTH, HEIGHT = 32, 32


def main() -> None:
    """Make the sources, extract them, and time the runs that find nothing to do."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sources", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_sources(folder / "films", args.sources)
        command = [sys.executable, "-m", "vfm.cli", "extract", str(folder / "films"), str(folder / "data")]
        command += ["--fps", "2", "--size", "32", "--workers", str(args.workers)]
        first_s, first_rss_bytes, _ = timed(command)
        rounds = [timed(command) for _ in range(args.rounds)]
        assert all(re.search(r"\b(\d+) of \1 shards? done before", told) for _, _, told in rounds)
    times_s, rss_bytes = [took_s for took_s, _, _ in rounds], max(peak for _, peak, _ in rounds)
    print(f"{args.sources} sources, {platform.machine()}, Python {platform.python_version()}")
    print(f"extracted once in        {first_s:8.1f} s, peak RSS of the job {first_rss_bytes >> 20} MiB")
    print(
        f"resumed when done in     {statistics.median(times_s):8.2f} s (median of {args.rounds}: {times_s})"
    )
    print(f"peak RSS of the resume   {rss_bytes >> 20:8d} MiB")


def make_sources(root: Path, num_sources: int) -> None:
    """Write the films and link them under as many names as are wanted."""
    films = [write_film(root / f"{index:03d}" / "original.mp4", shade=index) for index in range(NUM_FILMS)]
    for index in range(NUM_FILMS, num_sources):
        link = root / f"links{index // FOLDER_SIZE:04d}" / f"{index:07d}.mp4"
        if index % FOLDER_SIZE == 0 or index == NUM_FILMS:
            link.parent.mkdir(parents=True, exist_ok=True)
        os.link(films[index % NUM_FILMS], link)


def write_film(path: Path, *, shade: int) -> Path:
    """Write two frames."""
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=2, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for step in range(2):
            picture = np.full((HEIGHT, WIDTH, 3), 4 * shade + step, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def timed(command: list[str]) -> tuple[float, int, str]:
    """Run a command; return its seconds, the peak resident memory of its process, and what it said."""
    begun_s = time.monotonic()
    with (
        tempfile.TemporaryFile("w+") as told,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told) as job,
    ):
        _, status, usage = os.wait4(job.pid, 0)
        job.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        said = told.read()
    assert job.returncode == 0, said
    return round(time.monotonic() - begun_s, 3), usage.ru_maxrss << 10, said


if __name__ == "__main__":
    main()
