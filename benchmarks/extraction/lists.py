"""Times how long `vfm extract` takes to list the videos of large published lists, before any is decoded.

    python benchmarks/extraction/lists.py [--rows 100000] [--rounds 3]

Each list has as many rows as asked for, about empty files in the layout of its data set (ten thousand to a
folder), which are looked for by their ids. Listed are: reading the list, finding and asking every file, keys
and the order of classes. Last the plan of them, which is made once for any list.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from vfm.shards.format.plan import build_plan
from vfm.video2token.sources.listing import Listing, list_sources
from vfm.video2token.sources.lists.reading import ListOptions

_PER_FOLDER = 10_000


def touch(root: Path, names: Iterator[str]) -> None:
    """Make empty files."""
    for name in names:
        path = root / name
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        path.touch()


def kinetics(folder: Path, num_rows: int) -> Path:
    """Write a list of Kinetics, its clips in folders of their classes."""
    rows = [(f"class {i // _PER_FOLDER}", f"{i:011d}") for i in range(num_rows)]
    touch(folder, (f"{label}/{name}_000010_000020.mp4" for label, name in rows))
    lines = (f"{label},{name},10,20,train\n" for label, name in rows)
    return write(folder / "k.csv", "label,youtube_id,time_start,time_end,split\n" + "".join(lines))


def something_something(folder: Path, num_rows: int) -> Path:
    """Write a list of Something-Something v2."""
    touch(folder, (f"{i}.webm" for i in range(num_rows)))
    value = [
        {"id": f"{i}", "label": f"moving {i}", "template": f"Moving [something] {i % 174}"}
        for i in range(num_rows)
    ]
    return write(folder / "s.json", json.dumps(value))


def webvid(folder: Path, num_rows: int) -> Path:
    """Write a list of WebVid."""
    rows = [(f"{i // 50:06d}_{i // 50 + 50:06d}", f"{10**7 + i}") for i in range(num_rows)]
    touch(folder, (f"{page}/{name}.mp4" for page, name in rows))
    lines = (f'{name},https://x.org,PT00H00M11S,{page},"Aerial shot, {name}"\n' for page, name in rows)
    return write(folder / "w.csv", "videoid,contentUrl,duration,page_dir,name\n" + "".join(lines))


def internvid(folder: Path, num_rows: int) -> Path:
    """Write a list of InternVid, ten segments a video."""
    touch(folder, (f"{i:011d}.mp4" for i in range(-(-num_rows // 10))))
    lines = (
        json.dumps(
            {
                "YoutubeID": f"{i // 10:011d}",
                "Start_timestamp": f"00:00:{i % 10:02d}.227",
                "End_timestamp": f"00:00:{i % 10 + 1:02d}.000",
                "Caption": f"a person {i}",
            }
        )
        + "\n"
        for i in range(num_rows)
    )
    return write(folder / "i.jsonl", "".join(lines))


def howto100m(folder: Path, num_rows: int) -> Path:
    """Write narrations of HowTo100M, a hundred a video."""
    num_videos = -(-num_rows // 100)
    touch(folder, (f"{i:011d}.mp4" for i in range(num_videos)))
    times = [float(i) for i in range(100)]
    value = {
        f"{i:011d}": {"start": times, "end": [t + 2 for t in times], "text": [f"and {t}" for t in times]}
        for i in range(num_videos)
    }
    return write(folder / "h.json", json.dumps(value))


def mmaction2(folder: Path, num_rows: int) -> Path:
    """Write a text list of paths and labels."""
    touch(folder, (f"{i // _PER_FOLDER}/{i}.mp4" for i in range(num_rows)))
    lines = (f"{i // _PER_FOLDER}/{i}.mp4 {i % 400}\n" for i in range(num_rows))
    return write(folder / "m.txt", "".join(lines))


def write(path: Path, text: str) -> Path:
    """Write a list and return its path."""
    path.write_text(text)
    return path


LISTS: dict[str, Callable[[Path, int], Path]] = {
    "Kinetics, CSV": kinetics,
    "Something-Something v2, JSON": something_something,
    "WebVid, CSV": webvid,
    "InternVid, JSONL": internvid,
    "HowTo100M, narrations": howto100m,
    "MMAction2, text": mmaction2,
}


def timed(ask: Callable[[], Listing]) -> tuple[float, Listing]:
    """Return how long something took, seconds, and what came of it."""
    begun_s = time.perf_counter()
    found = ask()
    return time.perf_counter() - begun_s, found


def main() -> None:
    """Time each list, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {args.rows} rows, median of {args.rounds}")
    for name, make in LISTS.items():
        with tempfile.TemporaryDirectory(prefix="vfm-lists-") as folder:
            path = make(Path(folder), args.rows)
            ask = partial(list_sources, [path], missing="error", options=ListOptions())
            rounds = [timed(ask) for _ in range(args.rounds)]
            found = rounds[-1][1]
            assert len(found.sources) == args.rows
            begun_s = time.perf_counter()
            build_plan(found.sources, samples_per_shard=256, classes=found.classes)
            plan_s = time.perf_counter() - begun_s
        print(f"{name:30s} {statistics.median(took for took, _ in rounds):5.2f} s, plan {plan_s:4.2f} s")


if __name__ == "__main__":
    main()
