"""What a very long video costs: memory of the process that decodes it, and time.

    python benchmarks/extraction/long_video.py [--hours 24] [--fps 0.4] [--max-frames 36000]

Makes a video of many hours in a moment: one minute of a square over noise is encoded once (160 x 120, 25
frames a second), then its packets are written over and over with later times. `vfm extract` takes it in one
process, whose peak resident memory is read from the kernel (VmHWM). Noise makes the largest JPEGs there are.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, RATE, MINUTE_S = 160, 120, 25, 60


def main() -> None:
    """Make the video, extract it, and say what that took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--fps", type=float, default=0.4)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--max-frames", type=int, default=36_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun_s = time.monotonic()
        write_long(folder / "minute.mp4", folder / "long.mp4", num_minutes=round(60 * args.hours))
        made_s, size_bytes = time.monotonic() - begun_s, (folder / "long.mp4").stat().st_size
        command = [sys.executable, "-m", "vfm.cli", "extract", str(folder / "long.mp4"), str(folder / "data")]
        command += ["--fps", str(args.fps), "--size", str(args.size), "--max-frames", str(args.max_frames)]
        command += ["--timeout", "86400", "--workers", "1", "--json"]
        took_s, result, peaks = watched(command)
    print(f"{args.hours:g} h, {size_bytes >> 20} MiB, made in {made_s:.1f} s; {platform.machine()}")
    print(f"{result['num_ok']} ok, {result['num_frames']} frames in {took_s:.1f} s")
    print(f"rejected: {result['rejected_by_reason']}")
    print(
        f"peak RSS of the decoding process {peaks['worker'] >> 20} MiB, of the job {peaks['job'] >> 20} MiB"
    )


def write_long(minute: Path, path: Path, *, num_minutes: int) -> None:
    """Write one minute's packets ``num_minutes`` times, each time a minute later."""
    write_minute(minute)
    with av.open(str(minute)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        assert stream.time_base is not None
        copy = target.add_stream_from_template(stream)
        kept = [
            (bytes(packet), packet.pts, packet.dts, packet.is_keyframe)
            for packet in source.demux(stream)
            if packet.pts is not None and packet.dts is not None
        ]
        ticks_a_minute = round(MINUTE_S / stream.time_base)
        for index in range(num_minutes):
            for data, pts, dts, is_keyframe in kept:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = copy, stream.time_base, is_keyframe
                packet.pts, packet.dts = pts + index * ticks_a_minute, dts + index * ticks_a_minute
                target.mux(packet)


def write_minute(path: Path) -> None:
    """Write a minute of a square that moves over noise."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(MINUTE_S * RATE):
            picture = noise.copy()
            at = index % (WIDTH - 20)
            picture[40:60, at : at + 20] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def watched(command: list[str]) -> tuple[float, dict[str, object], dict[str, int]]:
    """Run a command; return its seconds, its JSON, and the peak memory of it and of the process under it."""
    begun_s, peaks = time.monotonic(), {"job": 0, "worker": 0}
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=said, start_new_session=True) as job,
    ):
        while job.poll() is None:
            peaks["job"] = max(peaks["job"], peak_rss_bytes(job.pid))
            for child in children(job.pid):
                peaks["worker"] = max(peaks["worker"], peak_rss_bytes(child))
            time.sleep(0.1)
        said.seek(0)
        return time.monotonic() - begun_s, json.loads(said.read()), peaks


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def peak_rss_bytes(pid: int) -> int:
    """Return the most resident memory that a process has had, 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main()
