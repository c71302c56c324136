"""Compares HOG computed in several ways, and reading stored HOG with computing it on line.

    python benchmarks/targets/hog.py [--rounds 15] [--compile]

One thread. Ways take turns, medians count. Frames are windows of 224 px of scikit-image's photographs.

First table, ms per frame of 224x224x3, a turn being the 8 frames of a clip, as a loader asks for them; every
way but scikit-image's own is checked to give the same bits:

skimage        skimage.feature.hog on each channel, the definition ``skimage``.
numba          ``vfm.shards.pixels.hog.compute.hog``, what vfm uses on a CPU; per definition.
numpy, torch   ``hog_of_arrays``, what vfm uses on a GPU, here on the CPU; MaskFeat's definition.
compiled       the same through torch.compile, only with --compile: it takes a while.

Second table, ms per clip of 16 frames, of which MaskFeat predicts every second one, for a loader that has the
clip's pixels in memory anyway:

on line        HOG of the 8 frames.
uint8, fp16    read the sample's stored HOG of 20 frames (from the page cache), check its CRC-32 as the
               reader does, take the 8 frames and make float32 of them.

Third table: how far stored HOG is from that of a random crop (area of at least one half, shape 3/4 to 4/3,
half of them mirrored), if its cells were cropped, resized and mirrored in place of the pixels: mean cosine
and squared error over mean square of the histograms of cells; and the same of the crop's HOG in uint8.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numba
import numpy as np
import torch
from skimage import data as photos
from skimage.feature import hog as hog_of_skimage
from torch.nn import functional

from vfm.shards.io.npy import from_npy, to_npy
from vfm.shards.pixels.hog.arrays import hog_of_arrays
from vfm.shards.pixels.hog.compute import hog
from vfm.shards.pixels.hog.definition import DEFINITIONS, MASKFEAT, SKIMAGE
from vfm.shards.pixels.hog.storage import from_stored, to_stored
from vfm.trainer.data.augment import draw_crop

_SIDE_PX = 224
_NUM_FRAMES = 20
_CLIP = slice(0, 16, 2)
_CLIP_FRAMES = 8
Way = Callable[[], object]


def main() -> None:
    """Let the ways take turns and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    frames = make_frames()
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}, numba {numba.__version__}, ", end="")
    print(f"torch {torch.__version__}, scikit-image {version('scikit-image')}, {platform.machine()}")
    times = take_turns(ways_to_compute(frames, with_compile=args.compile), args.rounds)
    print("\nms per frame       median    skimage / this")
    for name, seconds in times.items():
        print(f"{name:17}{1e3 * seconds / _CLIP_FRAMES:8.2f}{times['skimage'] / seconds:18.1f}")
    with tempfile.TemporaryDirectory() as folder:
        times = take_turns(ways_to_get_a_clip(frames, Path(folder)), args.rounds)
    print("\nms per clip        median    on line / this")
    for name, seconds in times.items():
        print(f"{name:17}{1e3 * seconds:8.2f}{times['on line'] / seconds:18.1f}")
    print(f"Faster on this machine: {min(times, key=times.__getitem__)}.")
    print("\nHOG of a random crop against     cosine    squared error / mean square")
    for name, (cosine, error) in how_far(frames).items():
        print(f"{name:32} {cosine:.4f}    {error:.2g}")


def make_frames() -> np.ndarray:
    """Return uint8 [T, S, S, 3], windows of photographs."""
    pictures = [photos.astronaut(), photos.coffee(), photos.chelsea(), photos.rocket()]  # type: ignore[no-untyped-call]  # scikit-image leaves it so
    frames = []
    for number in range(_NUM_FRAMES):
        picture = pictures[number % len(pictures)]
        top, left = (np.array(picture.shape[:2]) - _SIDE_PX) * number // _NUM_FRAMES
        frames.append(picture[top : top + _SIDE_PX, left : left + _SIDE_PX])
    return np.stack(frames)


def ways_to_compute(frames: np.ndarray, *, with_compile: bool) -> dict[str, Way]:
    """Return ways to compute a clip, after a check that they agree."""
    clip, tensors = frames[_CLIP], torch.from_numpy(frames)
    ways: dict[str, Way] = {"skimage": lambda: [by_skimage(frame) for frame in clip]}
    for definition in DEFINITIONS:
        ways[f"numba {definition.name}"] = partial(hog, clip, definition)
        assert np.array_equal(hog(frames, definition), hog_of_arrays(frames, definition, np))
        assert np.array_equal(hog(frames, definition), hog_of_arrays(tensors, definition, torch).numpy())
    ways["numpy"] = lambda: hog_of_arrays(clip, MASKFEAT, np)
    ways["torch"] = lambda: hog_of_arrays(tensors[_CLIP], MASKFEAT, torch)
    if with_compile:
        compiled = torch.compile(lambda pixels: hog_of_arrays(pixels, MASKFEAT, torch), dynamic=False)
        assert np.array_equal(compiled(tensors[_CLIP]).numpy(), hog(clip))
        ways["compiled"] = lambda: compiled(tensors[_CLIP])
    ours = hog(frames[:1], SKIMAGE).reshape(14, 14, 3, 9, 2, 2)[:, :, :, :, 0, 0]
    theirs = np.stack(by_skimage(frames[0]), axis=2)[::2, ::2, :, 0, 0]
    assert np.abs(ours - theirs).max() < 2e-7
    return ways


def by_skimage(frame: np.ndarray) -> list[np.ndarray]:
    """Return scikit-image's HOG of each channel."""
    return [
        hog_of_skimage(
            np.ascontiguousarray(frame[:, :, channel]),
            orientations=9,
            pixels_per_cell=(8, 8),
            cells_per_block=(1, 1),
            block_norm="L2",
            feature_vector=False,
        )
        for channel in range(3)
    ]


def ways_to_get_a_clip(frames: np.ndarray, folder: Path) -> dict[str, Way]:
    """Return ways to have float32 HOG of the frames of a clip."""
    ways: dict[str, Way] = {"on line": lambda: hog(frames[_CLIP])}
    for store in ("uint8", "fp16"):
        member = to_npy(to_stored(hog(frames), store)[None])
        path = folder / store
        path.write_bytes(member)
        ways[f"{store}, {len(member) / 1e6:.2f} MB"] = partial(read, path, zlib.crc32(member))
    return ways


def read(path: Path, crc: int) -> np.ndarray:
    """Return float32 HOG of the frames of a clip out of a stored member."""
    member = path.read_bytes()
    assert zlib.crc32(member) == crc
    return from_stored(from_npy(member, name=path.name)[0, _CLIP])


def how_far(frames: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return how like the HOG of random crops are crops of HOG, mirrored or not, and the same in uint8."""
    rng = np.random.default_rng(0)
    truth: dict[bool, list[np.ndarray]] = {False: [], True: []}
    cropped: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for frame in np.repeat(frames, 5, axis=0):
        is_mirrored = bool(rng.integers(2))
        top, left, height, width = draw_crop(_SIDE_PX, _SIDE_PX, areas=(0.5, 1.0), rng=rng)
        pixels = torch.from_numpy(frame[top : top + height, left : left + width].copy()).permute(2, 0, 1)
        seen = functional.interpolate(pixels[None], (_SIDE_PX, _SIDE_PX), mode="bilinear")[0].permute(1, 2, 0)
        seen = seen.flip(1) if is_mirrored else seen
        truth[is_mirrored].append(cells_of(seen.numpy()))
        cropped[is_mirrored].append(crop_cells(cells_of(frame), (top, left, height, width), is_mirrored))
    straight = (np.stack(truth[False]), np.stack(cropped[False]))
    mirrored = (np.stack(truth[True]), np.stack(cropped[True]))
    stored = from_stored(to_stored(straight[0], "uint8"))
    return {
        "the crop of stored HOG": compare(*straight),
        "the same, mirrored": compare(*mirrored),
        "itself in uint8": compare(straight[0], stored),
    }


def cells_of(frame: np.ndarray) -> np.ndarray:
    """Return the histograms of a frame's cells, float32 [C, 9, rows, columns]."""
    tokens = hog(np.ascontiguousarray(frame[None]))[0]
    rows, columns, _ = tokens.shape
    cells: np.ndarray = tokens.reshape(rows, columns, 3, 9, 2, 2).transpose(2, 3, 0, 4, 1, 5)
    return cells.reshape(3, 9, 2 * rows, 2 * columns)


def crop_cells(cells: np.ndarray, box: tuple[int, int, int, int], is_mirrored: bool) -> np.ndarray:
    """Return histograms of a box in pixels, resized bilinearly to a whole frame and of length 1 again.

    Mirroring turns an angle a to pi - a: bin k becomes bin 8 - k.
    """
    top, left, height, width = (2 * side / _SIDE_PX for side in box)
    theta = torch.tensor([[[width / 2, 0, left + width / 2 - 1], [0, height / 2, top + height / 2 - 1]]])
    flat = torch.from_numpy(cells.reshape(1, 27, *cells.shape[2:]))
    grid = functional.affine_grid(theta, list(flat.shape), align_corners=False)
    found = functional.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    resized: np.ndarray = functional.normalize(found.reshape(cells.shape), dim=1).numpy()
    return resized[:, ::-1, :, ::-1] if is_mirrored else resized


def compare(truth: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the mean cosine of histograms [N, C, 9, rows, columns] that are not flat, and the error."""
    truth, other = np.moveaxis(truth, 2, -1), np.moveaxis(other, 2, -1)
    lengths = np.linalg.norm(truth, axis=-1) * np.linalg.norm(other, axis=-1)
    cosines = (truth * other).sum(-1)[lengths > 0] / lengths[lengths > 0]
    return float(cosines.mean()), float(np.square(truth - other).mean() / np.square(truth).mean())


def take_turns(ways: dict[str, Way], num_rounds: int) -> dict[str, float]:
    """Return the median seconds of each way; the first two rounds warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(num_rounds + 2):
        for name, way in ways.items():
            begun_s = time.perf_counter()
            way()
            if turn > 1:
                seconds[name].append(time.perf_counter() - begun_s)
    return {name: statistics.median(times) for name, times in seconds.items()}


if __name__ == "__main__":
    main()
