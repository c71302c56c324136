"""The token grid of a clip, and the lines along which axial attention runs."""

from dataclasses import dataclass

import torch
from torch import Tensor

AXIS_DIM = {"T": 1, "H": 2, "W": 3}  # in [B, L, H, W, C]

# Shapes: B clips, L frames, H rows, W columns, N = L*H*W tokens, S = 1 + n tokens of a line with CLS in
# front, M lines of one clip, C channels.


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Tokens of a clip: `length` frames of `height` rows and `width` columns."""

    length: int
    height: int
    width: int

    @property
    def num_tokens(self) -> int:
        """Tokens of a clip without CLS."""
        return self.length * self.height * self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return self.length, self.height, self.width


def to_lines(tokens: Tensor, *, grid: Grid, axis: str) -> Tensor:
    """Cut tokens into the lines along an axis, a copy of CLS in front of each.

    Args:
        tokens: [B, 1 + N, C], CLS first.
        grid: the shape of the N tokens.
        axis: "T", "H" or "W".

    Returns:
        [B * M, S, C], one row per line.
    """
    batch, _, channels = tokens.shape
    lines = tokens[:, 1:].view(batch, *grid.shape, channels).movedim(AXIS_DIM[axis], 3)
    cls = tokens[:, None, None, :1].expand(batch, *lines.shape[1:3], 1, channels)
    return torch.cat([cls, lines], dim=3).view(-1, 1 + lines.shape[3], channels)


def from_lines(lines: Tensor, *, grid: Grid, axis: str) -> Tensor:
    """Put lines back into the grid and average the copies of CLS: the inverse of `to_lines`.

    Args:
        lines: [B * M, S, C].
        grid: the shape of the N tokens.
        axis: "T", "H" or "W".

    Returns:
        [B, 1 + N, C].
    """
    num_in_line, channels = lines.shape[1] - 1, lines.shape[2]
    across = [size for name, size in zip(AXIS_DIM, grid.shape, strict=True) if name != axis]
    lines = lines.view(-1, *across, 1 + num_in_line, channels)
    tokens = lines[:, :, :, 1:].movedim(3, AXIS_DIM[axis]).flatten(1, 3)
    return torch.cat([lines[:, :, :, 0].mean((1, 2))[:, None], tokens], dim=1)
