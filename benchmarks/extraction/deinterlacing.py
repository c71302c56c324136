"""Compares ways to make one moment of an interlaced picture that is alone, without its neighbours.

    python benchmarks/extraction/deinterlacing.py VIDEO... [--heights 480 1080] [--sizes 128 256]

Takes six pairs of neighbouring frames of each progressive video (from frames 60 to 63 and 120 to 123),
scales them to each height, weaves each pair, and compares what a way makes of it with the first of the two,
both at the stored size: mean and least PSNR in dB, and the median of the milliseconds that a picture of the
last height takes.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vfm.video2token.picture.deinterlace import deinterlace
from vfm.video2token.picture.scaling import SCALING, Scaler, scale

Way = Callable[[VideoFrame], VideoFrame]
Planes = list[np.ndarray]


def main() -> None:
    """Measure all ways on all videos and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--heights", nargs="+", type=int, default=[480, 1080])
    parser.add_argument("--sizes", nargs="+", type=int, default=[128, 256])
    given = parser.parse_args()
    print("way        " + "".join(f"{h:>8} to {s:<8}" for h in given.heights for s in given.sizes) + "ms")
    pairs = {
        h: [pair for video in given.videos for pair in read_pairs(video, height=h)] for h in given.heights
    }
    for name, way in WAYS.items():
        psnr_db: dict[tuple[int, int], list[float]] = defaultdict(list)
        cost_ms: list[float] = []
        for height in given.heights:
            cost_ms = []
            for first, second in pairs[height]:
                woven = weave(first, second)
                start = time.perf_counter()
                shown = way(woven)
                cost_ms.append(1e3 * (time.perf_counter() - start))
                for size_px in given.sizes:
                    psnr_db[height, size_px].append(psnr(shown, first, size_px=size_px))
        cells = [f"{statistics.mean(v):9.1f} ({min(v):.1f})  " for v in psnr_db.values()]
        print(f"{name:11}" + "".join(cells) + f"{statistics.median(cost_ms):.1f}")


def read_pairs(path: Path, *, height: int) -> list[tuple[VideoFrame, VideoFrame]]:
    """Return six pairs of neighbouring frames at a height of ``height``, 4:2:0."""
    frames, scaler = [], VideoReformatter()
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(container.streams.video[0])):
            if index in range(60, 64) or index in range(120, 124):
                width = frame.width * height // frame.height // 4 * 4
                frames.append(scaler.reformat(frame, width, height, format="yuv420p", interpolation=SCALING))
            if index == 123:
                break
    return [(frames[i], frames[i + 1]) for i in (0, 1, 2, 4, 5, 6)]


def psnr(frame: VideoFrame, truth: VideoFrame, *, size_px: int) -> float:
    """Return how near a frame comes to the truth at the stored size, dB."""
    size, scaler = (truth.width * size_px // truth.height, size_px), Scaler()
    error = scale(frame, size, scaler=scaler).astype(float) - scale(truth, size, scaler=scaler)
    return float(10 * np.log10(255**2 / max(1e-9, np.square(error).mean())))


def planes_of(frame: VideoFrame) -> Planes:
    """Return views of the planes, uint8."""
    return [np.frombuffer(memoryview(p), np.uint8).reshape(p.height, -1)[:, : p.width] for p in frame.planes]


def frame_of(planes: Planes) -> VideoFrame:
    """Return a 4:2:0 frame of planes, uint8."""
    frame = VideoFrame(planes[0].shape[1], planes[0].shape[0], "yuv420p")
    for plane, rows in zip(frame.planes, planes, strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = rows
        plane.update(padded.tobytes())
    return frame


def weave(first: VideoFrame, second: VideoFrame) -> VideoFrame:
    """Return the even rows of one frame and the odd rows of the other."""
    rows = [plane.copy() for plane in planes_of(first)]
    for plane, other in zip(rows, planes_of(second), strict=True):
        plane[1::2] = other[1::2]
    return frame_of(rows)


def by_rows(draw: Callable[[np.ndarray], np.ndarray]) -> Way:
    """Return a way that works on each plane by itself."""
    return lambda frame: frame_of([draw(plane) for plane in planes_of(frame)])


def linear(plane: np.ndarray) -> np.ndarray:
    """Draw odd rows as the mean of their neighbours."""
    even, drawn = plane[0::2].astype(np.uint16), plane.copy()
    drawn[1::2] = (even + np.append(even[1:], even[-1:], axis=0) + 1) // 2
    return drawn


def cubic(plane: np.ndarray) -> np.ndarray:
    """Draw odd rows by (-1, 9, 9, -1) / 16."""
    even, drawn = np.pad(plane[0::2].astype(np.int32), ((1, 2), (0, 0)), "edge"), plane.copy()
    drawn[1::2] = ((9 * (even[1:-2] + even[2:-1]) - even[:-3] - even[3:] + 8) // 16).clip(0, 255)
    return drawn


def blend(plane: np.ndarray) -> np.ndarray:
    """Mix each row with its neighbours by (1, 2, 1) / 4."""
    rows = np.pad(plane.astype(np.uint16), ((1, 1), (0, 0)), "edge")
    return ((rows[:-2] + 2 * rows[1:-1] + rows[2:] + 2) // 4).astype(np.uint8)


def by_filter(name: str, arguments: str) -> Way:
    """Return a way that is a filter of libavfilter, fed the one picture."""

    def run(frame: VideoFrame) -> VideoFrame:
        graph = Graph()
        graph.threads = 1
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
        )
        graph.link_nodes(source, graph.add(name, arguments), graph.add("buffersink")).configure()
        frame.pts = 0
        graph.push(frame)
        graph.push(None)
        return graph.vpull()

    return run


WAYS: dict[str, Way] = {
    "interlaced": lambda frame: frame,
    "one field": lambda frame: frame_of([plane[0::2] for plane in planes_of(frame)]),
    "blend": by_rows(blend),
    "linear": by_rows(linear),
    "cubic": by_rows(cubic),
    "estdif": by_filter("estdif", "mode=frame:parity=tff"),
    "w3fdif": by_filter("w3fdif", "mode=frame:parity=tff"),
    "bwdif": by_filter("bwdif", "mode=send_frame:parity=tff"),
    "vfm": deinterlace,
}

if __name__ == "__main__":
    main()
