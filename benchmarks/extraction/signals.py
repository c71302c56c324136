"""What each signal costs: seconds of processor time per video, beside taking the frames themselves.

    python benchmarks/extraction/signals.py VIDEOS...

One line for each video, its length and size, then seconds for the frames at 2 fps, for each signal by itself,
and for all signals together (they share one pass).
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from vfm.video2token.analysis import signals
from vfm.video2token.analysis.measure import measure
from vfm.video2token.decoding.decoders import pyav
from vfm.video2token.options import ExtractOptions


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of the faster of two runs."""
    times: list[float] = []
    for _ in range(2):
        begun_s = time.process_time()
        work()
        times.append(time.process_time() - begun_s)
    return min(times)


def main(paths: list[str]) -> None:
    """Print the table."""
    names = signals.names()
    print(f"{'video':16} {'s':>6} {'pixels':>9} {'frames':>7}", *(f"{name:>7}" for name in [*names, "all"]))
    for path in map(str, map(Path.absolute, map(Path, paths))):
        video = pyav.decode(path, ExtractOptions(fps=2.0))
        costs = [seconds(lambda: pyav.decode(path, ExtractOptions(fps=2.0)))]  # noqa: B023 (called at once)
        costs += [seconds(lambda: measure(path, asked)) for asked in [*([name] for name in names), names]]  # noqa: B023
        size = f"{video.source_width_px}x{video.source_height_px}"
        print(
            f"{Path(path).name:16} {video.source_duration_s:6.1f} {size:>9}",
            *(f"{cost:7.2f}" for cost in costs),
        )


if __name__ == "__main__":
    main(sys.argv[1:])
