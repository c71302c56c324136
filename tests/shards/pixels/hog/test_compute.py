"""HOG against the references' numbers, scikit-image, plain loops, and itself computed in other ways."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from skimage import data as photos
from skimage.feature import hog as hog_of_skimage

from vfm.shards.errors import UsageError
from vfm.shards.pixels.hog.arrays import hog_of_arrays
from vfm.shards.pixels.hog.compute import hog
from vfm.shards.pixels.hog.definition import DEFINITIONS, MASKFEAT, MMSELFSUP, SKIMAGE, HogDefinition

GOLDEN = Path(__file__).parents[3] / "golden"
ATOL = 2e-7  # the references add up 64 magnitudes in float32; ours are exact before the last rounding
ODD = HogDefinition(name="odd", num_bins=8, cell_px=5, token_px=15, window_px=6, angle_from="horizontal")
ALL = (
    *DEFINITIONS,
    ODD,
    replace(SKIMAGE, num_bins=12, cell_px=6, token_px=12),
    replace(MASKFEAT, num_bins=18, cell_px=16),
    replace(MASKFEAT, num_bins=4, cell_px=7, token_px=7, window_px=3),
)


def photo(name: str = "astronaut", height_px: int = 224, width_px: int = 224) -> np.ndarray:
    """Return uint8 [1, H, W, 3] from the middle of a photograph of scikit-image's, every second pixel."""
    image = getattr(photos, name)()[::2, ::2]
    top, left = (image.shape[0] - height_px) // 2, (image.shape[1] - width_px) // 2
    return image[None, max(top, 0) :, max(left, 0) :][:, :height_px, :width_px]


def noise(*shape: int, high: int = 256) -> np.ndarray:
    return np.random.default_rng(7).integers(0, high, shape, np.uint8)


def golden(name: str, key: str) -> np.ndarray:
    return load_file(GOLDEN / f"{name}_a.safetensors")[key]


def histograms(tokens: np.ndarray, definition: HogDefinition) -> np.ndarray:
    """Return [N, cell rows, cell columns, C, bins] of tokens [N, h, w, F]."""
    side, bins = definition.cells_per_side, definition.num_bins
    num_frames, rows, columns, _ = tokens.shape
    cells = tokens.reshape(num_frames, rows, columns, -1, bins, side, side).transpose(0, 1, 5, 2, 6, 3, 4)
    return cells.reshape(num_frames, rows * side, columns * side, -1, bins)


def has_tie(frames: np.ndarray) -> np.ndarray:
    """Return bool [N, H / 8, W / 8, C]: whether a cell has a pixel with a vertical gradient alone."""
    padded = np.pad(frames.astype(int), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    columns = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    ties = (rows[:, :, :-2] == rows[:, :, 2:]) & (columns[:, :-2] != columns[:, 2:])
    num_frames, height_px, width_px, channels = frames.shape
    return ties.reshape(num_frames, height_px // 8, 8, width_px // 8, 8, channels).any(axis=(2, 4))


def plain(frame: np.ndarray, definition: HogDefinition) -> np.ndarray:
    """Return [cell rows, cell columns, C, bins] with float64 arctangents, one pixel at a time."""
    height_px, width_px, channels = frame.shape
    side = definition.cell_px
    sums = np.zeros((height_px // side, width_px // side, channels, definition.num_bins))
    padded = np.pad(frame.astype(int), ((1, 1), (1, 1), (0, 0)), mode="reflect")
    kernel = np.array([[1, 2, 1]] if definition.gradient == "sobel" else [[0, 1, 0]]) * [[1], [0], [-1]]
    window = definition.weights(height_px, width_px) if definition.window_px else np.ones(frame.shape[:2])
    for y in range(sums.shape[0] * side):
        for x in range(sums.shape[1] * side):
            around = padded[y : y + 3, x : x + 3]
            vertical, horizontal = (
                np.einsum("ijc,ij->c", around, kernel),
                np.einsum("ijc,ji->c", around, kernel),
            )
            sine, cosine = (
                (horizontal, vertical) if definition.angle_from == "vertical" else (vertical, horizontal)
            )
            parts = np.arctan2(sine, cosine) / np.pi * definition.num_bins
            bins = np.floor(parts + 1e-9).astype(int) % definition.num_bins  # angles on a border go up
            values = np.hypot(sine, cosine) * window[y, x]
            sums[y // side, x // side, np.arange(channels), bins] += values
    means = sums / side**2
    norm = np.sqrt((means**2).sum(axis=-1, keepdims=True) + definition.epsilon**2)
    return means / np.maximum(norm, 1e-12)


def test_pyslowfast_on_pixels_as_they_are() -> None:
    frames = golden("maskfeat_hog", "input/natural_u8").transpose(0, 2, 3, 1)
    expected = golden("maskfeat_hog", "output/hog_natural_u8").transpose(0, 3, 4, 1, 2)
    found = histograms(hog(frames), MASKFEAT)
    assert np.abs(found - expected).max() <= ATOL


@pytest.mark.parametrize(
    ("definition", "fixture", "key"),
    [
        (MASKFEAT, "maskfeat_hog", "hog_natural"),
        (MMSELFSUP, "maskfeat_hog", "hog_natural_gauss16"),
        (MMSELFSUP, "maskfeat_mmselfsup_hog", "hog3d_gauss16"),
        (MASKFEAT, "maskfeat_mmselfsup_hog", "hog3d_gauss0"),
    ],
)
def test_the_references_on_normalised_pixels(definition: HogDefinition, fixture: str, key: str) -> None:
    # There, a gradient of zero is one of +-1e-8. Where the horizontal one is zero, bins 0 and 8 trade; a flat
    # cell is noise of norm 1; and nothing else differs.
    name = "input/natural_u8" if fixture == "maskfeat_hog" else "input/frames_u8"
    frames = golden(fixture, name).transpose(0, 2, 3, 1)
    expected = golden(fixture, f"output/{key}")
    if fixture == "maskfeat_hog":
        expected = expected.transpose(0, 3, 4, 1, 2)
    else:  # tokens of one cell, the frames one after the other
        expected = expected.reshape(len(frames), 14, 14, 3, 9)
    small = replace(definition, token_px=8)
    found = histograms(hog(frames, small), small)
    tied, flat = has_tie(frames), ~found.any(axis=-1)
    assert 0.05 < tied.mean() < 0.7
    assert flat.mean() < 0.1
    assert np.abs(found - expected)[~tied & ~flat].max() < 2e-6
    scale = expected[..., 1:8].sum(-1) / np.maximum(found[..., 1:8].sum(-1), 1e-9)
    told = tied & (found[..., 1:8].sum(-1) > 0.01)
    assert np.abs(found[..., 1:8] * scale[..., None] - expected[..., 1:8])[told].max() < 2e-6
    ends = (found[..., 0] + found[..., 8]) * scale - (expected[..., 0] + expected[..., 8])
    assert np.abs(ends)[told].max() < 2e-5


def test_pyslowfast_on_float_pixels() -> None:
    frames = golden("maskfeat_hog", "input/random").transpose(0, 2, 3, 1)
    expected = golden("maskfeat_hog", "output/hog_random").transpose(0, 3, 4, 1, 2)
    for library, pixels in ((np, frames), (torch, torch.from_numpy(frames.copy()))):
        found = np.asarray(hog_of_arrays(pixels, MASKFEAT, library))
        assert np.abs(histograms(found, MASKFEAT) - expected).max() <= ATOL


def test_mmselfsup_window() -> None:
    expected = golden("maskfeat_mmselfsup_hog", "output/gaussian_kernel")
    assert np.abs(MMSELFSUP.weights(16, 16) - expected).max() < 1e-9
    assert np.array_equal(MMSELFSUP.weights(40, 24)[16:32, 16:24], MMSELFSUP.weights(16, 16)[:, :8])


@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (75, 100)])
@pytest.mark.parametrize(("num_bins", "cell_px"), [(9, 8), (8, 8), (12, 6), (18, 16)])
@pytest.mark.parametrize("kind", ["photo", "noise", "few"])
def test_scikit_image(shape: tuple[int, int], num_bins: int, cell_px: int, kind: str) -> None:
    definition = replace(SKIMAGE, num_bins=num_bins, cell_px=cell_px, token_px=cell_px)
    frames = {
        "photo": photo("coffee", *shape),
        "noise": noise(1, *shape, 3),
        "few": noise(1, *shape, 3, high=2) * 9,  # full of angles of 0, 45, 90 and 135 degrees
    }[kind]
    found = histograms(hog(frames, definition), definition)[0]
    for channel in range(3):
        expected = hog_of_skimage(
            frames[0, :, :, channel],
            orientations=num_bins,
            pixels_per_cell=(cell_px, cell_px),
            cells_per_block=(1, 1),
            block_norm="L2",
            feature_vector=False,
        )
        assert np.abs(found[:, :, channel] - expected[:, :, 0, 0]).max() <= ATOL


@pytest.mark.parametrize("definition", ALL, ids=lambda definition: f"{definition.name}-{definition.num_bins}")
def test_plain_loops_with_arctangents(definition: HogDefinition) -> None:
    for frames in (photo("chelsea", 30, 35), noise(1, 32, 32, 3, high=3) * 9):
        found = histograms(hog(frames, definition), definition)[0]
        expected = plain(frames[0], definition)[: found.shape[0], : found.shape[1]]
        assert np.abs(found - expected).max() <= ATOL


@pytest.mark.parametrize("definition", ALL, ids=lambda definition: f"{definition.name}-{definition.num_bins}")
@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(
            lambda: np.concatenate([photo("astronaut", 192, 208), photo("coffee", 192, 208)[..., ::-1]]),
            id="photos",
        ),
        pytest.param(lambda: photo("chelsea", 90, 131), id="wide"),
        pytest.param(lambda: noise(3, 33, 49, 3), id="noise"),
        pytest.param(lambda: noise(2, 40, 32, 1, high=2) * 255, id="black and white"),
        pytest.param(lambda: np.zeros((1, 32, 32, 3), np.uint8), id="black"),
        pytest.param(lambda: noise(0, 32, 32, 3), id="none"),
    ],
)
def test_compiled_numpy_and_torch_give_the_same_bits(
    definition: HogDefinition, frames: Callable[[], np.ndarray]
) -> None:
    pixels = frames()
    compiled = hog(pixels, definition)
    assert compiled.dtype == np.float32
    assert np.array_equal(compiled, hog_of_arrays(pixels, definition, np))
    tensor = hog_of_arrays(torch.from_numpy(pixels.copy()), definition, torch)
    assert (tensor.dtype, tensor.shape) == (torch.float32, compiled.shape)
    assert np.array_equal(compiled, tensor.numpy())


def test_frames_do_not_depend_on_the_frames_beside_them() -> None:
    frames = noise(5, 32, 48, 3)
    together = hog(frames, MMSELFSUP)
    assert together.shape == (5, 2, 3, 108)
    assert np.array_equal(together, np.concatenate([hog(frames[i : i + 1], MMSELFSUP) for i in range(5)]))
    assert np.array_equal(hog(frames[:, :, ::-1]), hog(frames[:, :, ::-1].copy()))


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_a_flat_frame_is_zero(definition: HogDefinition, level: int) -> None:
    assert np.array_equal(
        hog(np.full((2, 32, 32, 3), level, np.uint8), definition), np.zeros((2, 2, 2, 108), np.float32)
    )


@pytest.mark.parametrize(("row", "column", "channel"), [(0, 0, 0), (1, 2, 1), (3, 5, 2)])
def test_values_run_over_colour_bin_row_and_column(row: int, column: int, channel: int) -> None:
    frames = np.full((1, 64, 96, 3), 100, np.uint8)
    top, left = 8 * row + 3, 8 * column + 3
    frames[0, top : top + 2, left - 1 : left + 3, channel] = 200
    tokens = hog(frames)[0]
    assert np.argwhere(tokens.any(-1)).tolist() == [[row // 2, column // 2]]
    (places,) = np.nonzero(tokens[row // 2, column // 2])
    assert {(place // 36, place // 2 % 2, place % 2) for place in places} == {(channel, row % 2, column % 2)}


def test_an_edge_along_the_axis_goes_to_the_first_bin_and_across_it_to_the_middle() -> None:
    rows = np.broadcast_to((np.arange(32, dtype=np.uint8) * 5)[None, :, None, None], (1, 32, 32, 1)).copy()
    columns = np.ascontiguousarray(rows.transpose(0, 2, 1, 3))
    for frames, number in ((rows, 0), (rows[:, ::-1], 0), (columns, 4), (columns[:, :, ::-1], 4)):
        values = histograms(hog(frames), MASKFEAT)
        assert np.array_equal(values[..., number], np.ones_like(values[..., 0]))
        assert values.sum() == values[..., number].sum()
    eight = replace(MASKFEAT, num_bins=8)
    diagonal = (2 * np.add.outer(np.arange(32), np.arange(32))).astype(np.uint8)[None, :, :, None]
    inside = histograms(hog(diagonal, eight), eight)[:, 1:3, 1:3]
    assert np.array_equal(inside[..., 2], np.ones_like(inside[..., 2]))  # 45 degrees: the bin above
    inside = histograms(hog(diagonal[:, ::-1].copy(), eight), eight)[:, 1:3, 1:3]
    assert np.array_equal(inside[..., 6], np.ones_like(inside[..., 6]))  # 135 degrees
    assert np.array_equal(
        histograms(hog(columns, eight), eight)[..., 4], np.ones((1, 4, 4, 1), np.float32)
    )  # 90 degrees


def test_no_token_is_refused() -> None:
    with pytest.raises(UsageError, match="32x15 px holds no token of 16 px: use larger frames"):
        hog(noise(1, 15, 32, 3))
    with pytest.raises(UsageError, match="1x1 px holds no token"):
        hog(noise(1, 1, 1, 3), replace(MASKFEAT, cell_px=1, token_px=1))
