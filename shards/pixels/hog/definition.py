"""What a histogram of oriented gradients is: which gradient, which bins, which cells, which norm."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vfm.shards.array_types import Float32
from vfm.shards.errors import UsageError

MAX_BINS = 24  # up to here float32 puts every gradient of uint8 pixels into its true bin: see tests
MAX_CELL_PX = 256  # up to here the sum of a cell's float32 magnitudes fits a float64 without rounding
NORM_FLOOR = 1e-12  # a flat cell is divided by this and stays zero


@dataclass(frozen=True, slots=True, kw_only=True)
class HogDefinition:
    """Histograms of oriented gradients, one per cell and colour, and how they are laid out for tokens.

    A pixel's magnitude goes undivided to the one bin that its angle lies in; angles are unsigned, in [0, pi).
    Magnitudes are averaged over square cells that do not overlap, and each histogram h of a cell and colour
    becomes h / sqrt(|h|² + epsilon²). The first pixel beyond the border is the second one inside.

    Attributes:
        name: what it is called on the command line.
        gradient: ``sobel``, 3x3 with weights 1, 2, 1; or ``central``, the difference of the two neighbours.
        angle_from: the axis along which a gradient has angle 0.
        num_bins: of equal width; bin k holds angles in [k, k + 1) pi / num_bins.
        cell_px: side of a cell.
        token_px: side of the patch whose cells make up one token; a multiple of ``cell_px``.
        window_px: side of the Gaussian, tiled over the frame from its first pixel, that magnitudes are
            multiplied by; 0 for none. Its standard deviation is half of that, its sum 1.
        epsilon: in grey levels per pixel; 0 for a plain norm.
    """

    name: str
    gradient: Literal["sobel", "central"] = "sobel"
    angle_from: Literal["vertical", "horizontal"] = "vertical"
    num_bins: int = 9
    cell_px: int = 8
    token_px: int = 16
    window_px: int = 0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what would not be computed exactly, or not at all."""
        if not 2 <= self.num_bins <= MAX_BINS:
            raise UsageError(f"{self.num_bins} bins are not computed exactly: use 2 to {MAX_BINS}.")
        if not 1 <= self.cell_px <= MAX_CELL_PX:
            raise UsageError(f"A cell of {self.cell_px} px is not summed exactly: use 1 to {MAX_CELL_PX} px.")
        if self.token_px < 1 or self.token_px % self.cell_px:
            raise UsageError(
                f"A token of {self.token_px} px is not made of cells of {self.cell_px} px: use a multiple."
            )
        if self.window_px < 0 or self.window_px == 1:
            raise UsageError(
                f"A Gaussian window of {self.window_px} px is too small: use 2 or more, or 0 for none."
            )

    @property
    def cells_per_side(self) -> int:
        """Cells along one side of a token."""
        return self.token_px // self.cell_px

    @property
    def values_per_token(self) -> int:
        """Values of a token of an RGB frame: of three colours, all bins and cells."""
        return 3 * self.num_bins * self.cells_per_side**2

    def grid(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Return the rows and columns of whole tokens in a frame.

        Raises:
            UsageError: there is none.
        """
        rows, columns = height_px // self.token_px, width_px // self.token_px
        if rows < 1 or columns < 1 or min(height_px, width_px) < 2:
            raise UsageError(
                f"A frame of {width_px}x{height_px} px holds no token of {self.token_px} px: "
                "use larger frames."
            )
        return rows, columns

    def smoothing(self) -> tuple[int, int]:
        """Return the weights across a difference: of each side, and of the middle."""
        return (1, 2) if self.gradient == "sobel" else (0, 1)

    def thresholds(self) -> Float32:
        """Return the cotangents of the borders between the bins, float32 [num_bins - 1], falling.

        For a gradient (a, b) with a > 0, where a / b is the tangent of its angle, the bin is the number of
        thresholds c with b <= a c: no arctangent is needed. Only angles of 0, 45, 90 and 135 degrees can lie
        on a border when a and b are integers, because no other cotangent of a rational angle is rational;
        their cotangents are exact here, so such a gradient goes to the bin above.
        """
        exact = {(1, 4): 1.0, (1, 2): 0.0, (3, 4): -1.0}
        cotangents = []
        for border in range(1, self.num_bins):
            common = math.gcd(border, self.num_bins)
            angle = math.pi * border / self.num_bins
            ratio = (border // common, self.num_bins // common)
            cotangents.append(exact.get(ratio, math.cos(angle) / math.sin(angle)))
        return np.array(cotangents, np.float32)

    def weights(self, height_px: int, width_px: int) -> Float32:
        """Return what the magnitudes of a frame are multiplied by, float32 [H, W]; [0, 0] for no window."""
        if not self.window_px:
            return np.empty((0, 0), np.float32)
        window = _gaussian(self.window_px, sigma_px=self.window_px // 2)
        repeats = (-(-height_px // self.window_px), -(-width_px // self.window_px))
        return np.tile(window, repeats)[:height_px, :width_px].copy()


def _gaussian(side_px: int, *, sigma_px: int) -> Float32:
    """Return a Gaussian around the middle of a square, float32 [side, side], of sum 1."""
    offsets = (np.arange(side_px) - (side_px - 1) / 2) / sigma_px
    row = np.exp(-0.5 * offsets**2)
    square = np.outer(row, row)
    normalized: Float32 = (square / square.sum()).astype(np.float32)
    return normalized


# PySlowFast's HOGLayerC, the target of MaskFeat (Wei et al., CVPR 2022, section 3).
MASKFEAT = HogDefinition(name="maskfeat")
# The same behind a Gaussian window of 16 px, as MMSelfSup and MMPretrain compute it.
MMSELFSUP = HogDefinition(name="mmselfsup", window_px=16)
# skimage.feature.hog of each channel, with orientations=9, pixels_per_cell=(8, 8), cells_per_block=(1, 1)
# and block_norm="L2".
SKIMAGE = HogDefinition(name="skimage", gradient="central", angle_from="horizontal", epsilon=1e-5)
DEFINITIONS = (MASKFEAT, MMSELFSUP, SKIMAGE)


def find_definition(name: str) -> HogDefinition:
    """Return the definition of that name.

    Raises:
        UsageError: there is none.
    """
    for definition in DEFINITIONS:
        if definition.name == name:
            return definition
    known = ", ".join(definition.name for definition in DEFINITIONS)
    raise UsageError(f"Unknown HOG definition {name!r}: use one of {known}.")
