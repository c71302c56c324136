"""HOG compiled for one core: row after row, in buffers that fit the first cache, without an arctangent.

Why its bits are those of ``arrays`` is said there. Inner loops run over a row's pixels and colours at
once, so that the compiler makes vector instructions of them; only the scattering into bins is scalar.
"""

import math

import numpy as np

from vfm.shards.array_types import Float32, Float64, Int32, UInt8
from vfm.shards.pixels.compiling import compiled
from vfm.shards.pixels.hog.definition import NORM_FLOOR, HogDefinition


def hog_of_frames(frames: UInt8, definition: HogDefinition) -> Float32:
    """Return what ``vfm.shards.pixels.hog.compute.hog`` does, for frames that it has checked.

    Args:
        frames: uint8 [N, H, W, C], C-contiguous.
        definition: of the histograms.
    """
    num_frames, height_px, width_px, num_channels = frames.shape
    rows, columns = definition.grid(height_px, width_px)
    side = definition.cells_per_side
    shape = (num_frames, rows, columns, num_channels, definition.num_bins, side, side)
    tokens = np.empty(shape, np.float32)
    # The rows of one window, as wide as the frame: further down they are the same again.
    weights = np.repeat(definition.weights(definition.window_px, width_px), num_channels, axis=1)
    _fill(
        frames,
        tokens,
        # A tuple, whose length the compiler knows: all of it stays in registers.
        tuple(definition.thresholds()),
        weights,
        definition.smoothing(),
        definition.angle_from == "vertical",
        definition.cell_px,
        definition.epsilon**2,
    )
    return tokens.reshape(num_frames, rows, columns, num_channels * definition.num_bins * side**2)


@compiled
def _fill(  # noqa: PLR0913, PLR0917 (compiled code takes plain numbers, not a dataclass)
    frames: UInt8,
    tokens: Float32,
    thresholds: tuple[np.float32, ...],
    weights: Float32,
    smoothing: tuple[int, int],
    is_from_vertical: bool,
    cell_px: int,
    epsilon_squared: float,
) -> None:
    """Compute ``tokens`` [N, rows, columns, C, bins, cell rows, cell columns] of ``frames``."""
    num_frames, height_px, width_px, num_channels = frames.shape
    num_bins, side = tokens.shape[4], tokens.shape[5]
    cell_rows, cell_columns = tokens.shape[1] * side, tokens.shape[2] * side
    length = width_px * num_channels
    rows = frames.reshape(num_frames, height_px, length)
    smooth = np.empty(length + 2 * num_channels, np.float32)
    across = np.empty(length + 2 * num_channels, np.float32)
    sine, cosine = np.empty(length, np.float32), np.empty(length, np.float32)
    magnitudes, places = np.empty(length, np.float32), np.empty(length, np.int32)
    firsts = np.empty(length, np.int32)
    for place in range(length):
        cell = place // (num_channels * cell_px)
        firsts[place] = (cell * num_channels + place % num_channels) * num_bins
    sums = np.empty(cell_columns * num_channels * num_bins, np.float64)
    for frame in range(num_frames):
        for cell_row in range(cell_rows):
            sums[:] = 0.0
            for y in range(cell_row * cell_px, (cell_row + 1) * cell_px):
                up = rows[frame, y - 1 if y > 0 else 1]
                down = rows[frame, y + 1 if y + 1 < height_px else height_px - 2]
                _differences(up, rows[frame, y], down, smoothing, num_channels, smooth, across)
                _gradients(smooth, across, smoothing, num_channels, is_from_vertical, sine, cosine)
                _polar(sine, cosine, thresholds, firsts, magnitudes, places)
                if len(weights):
                    magnitudes *= weights[y % len(weights)]
                _scatter(places, magnitudes, cell_columns * cell_px * num_channels, sums)
            _write(sums, tokens[frame, cell_row // side], cell_row % side, cell_px, epsilon_squared)


@compiled
def _differences(  # noqa: PLR0913, PLR0917
    up: UInt8,
    middle: UInt8,
    down: UInt8,
    smoothing: tuple[int, int],
    num_channels: int,
    smooth: Float32,
    across: Float32,
) -> None:
    """Weigh three rows, and subtract the last from the first; one pixel more on either side, reflected."""
    outer, inner = np.float32(smoothing[0]), np.float32(smoothing[1])
    # Slices, because an index that a number is added to might be negative, and then nothing is vectorised.
    smooth_inside, across_inside = smooth[num_channels:-num_channels], across[num_channels:-num_channels]
    for place in range(len(middle)):
        above, below = np.float32(up[place]), np.float32(down[place])
        smooth_inside[place] = outer * (above + below) + inner * np.float32(middle[place])
        across_inside[place] = above - below
    for row in (smooth, across):
        row[:num_channels] = row[2 * num_channels : 3 * num_channels]
        row[-num_channels:] = row[-3 * num_channels : -2 * num_channels]


@compiled
def _gradients(  # noqa: PLR0913, PLR0917
    smooth: Float32,
    across: Float32,
    smoothing: tuple[int, int],
    num_channels: int,
    is_from_vertical: bool,
    sine: Float32,
    cosine: Float32,
) -> None:
    """Compute the two gradients of a row, turned by half a circle where the first would be negative."""
    outer, inner = np.float32(smoothing[0]), np.float32(smoothing[1])
    before, after = smooth[: -2 * num_channels], smooth[2 * num_channels :]
    left, right = across[: -2 * num_channels], across[2 * num_channels :]
    middle = across[num_channels:-num_channels]
    for place in range(len(sine)):
        horizontal = before[place] - after[place]
        vertical = outer * (left[place] + right[place]) + inner * middle[place]
        first = horizontal if is_from_vertical else vertical
        second = vertical if is_from_vertical else horizontal
        second = -second if first < 0 else second
        sine[place] = abs(first)
        cosine[place] = abs(second) if first == 0 else second


@compiled
def _polar(  # noqa: PLR0913, PLR0917
    sine: Float32,
    cosine: Float32,
    thresholds: tuple[np.float32, ...],
    firsts: Int32,
    magnitudes: Float32,
    places: Int32,
) -> None:
    """Compute magnitudes and where they belong: the first place of the cell and colour, plus the bin."""
    for place in range(len(sine)):
        magnitudes[place] = np.sqrt(sine[place] * sine[place] + cosine[place] * cosine[place])
        found = firsts[place]
        for threshold in thresholds:
            found += np.int32(cosine[place] <= sine[place] * threshold)
        places[place] = found


@compiled
def _scatter(places: Int32, magnitudes: Float32, length: int, sums: Float64) -> None:
    """Add up to ``length`` magnitudes of a row, those of its four quarters by turns.

    A cell's sum has to be written before it is read again, which takes longer than adding; meanwhile those of
    other cells are added to. The sums are exact, so that their order is free. Places are unsigned because a
    negative one would count from the end, which would be looked at each time.
    """
    quarter = length // 4
    for place in range(quarter):
        sums[np.uint32(places[place])] += magnitudes[place]
        sums[np.uint32(places[quarter + place])] += magnitudes[quarter + place]
        sums[np.uint32(places[2 * quarter + place])] += magnitudes[2 * quarter + place]
        sums[np.uint32(places[3 * quarter + place])] += magnitudes[3 * quarter + place]
    for place in range(4 * quarter, length):
        sums[np.uint32(places[place])] += magnitudes[place]


@compiled
def _write(sums: Float64, tokens: Float32, row: int, cell_px: int, epsilon_squared: float) -> None:
    """Normalise the histograms of one row of cells and put them into ``tokens`` [columns, C, bins, i, j]."""
    num_columns, num_channels, num_bins, _, side = tokens.shape
    sums *= 1.0 / cell_px**2
    for cell in range(num_columns * side):
        for channel in range(num_channels):
            first = (cell * num_channels + channel) * num_bins
            total = 0.0
            for number in range(num_bins):
                total += sums[first + number] * sums[first + number]
            norm = max(math.sqrt(total + epsilon_squared), NORM_FLOOR)
            for number in range(num_bins):
                value = sums[first + number] / norm
                tokens[cell // side, channel, number, row, cell % side] = value
