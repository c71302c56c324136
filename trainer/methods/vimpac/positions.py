"""Learned positions of the code grid: three ways to cut one table, and how it stretches to another shape."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.methods.vimpac.grid import Grid


class SeparatePositions(nn.Module):
    """One row per frame, per grid row and per grid column, added up ("hw_separation")."""

    def __init__(self, grid: Grid, dim: int) -> None:
        super().__init__()
        self.cls_pos_embedding = nn.Parameter(torch.empty(1, dim))
        self.temporal_pos_embedding = nn.Parameter(torch.empty(grid.length, dim))
        self.height_pos_embedding = nn.Parameter(torch.empty(grid.height, dim))
        self.width_pos_embedding = nn.Parameter(torch.empty(grid.width, dim))

    def forward(self) -> Tensor:
        """Return the table [1 + L*H*W, D]: CLS first, then frames, rows, columns."""
        frames, rows = self.temporal_pos_embedding[:, None, None], self.height_pos_embedding[None, :, None]
        grid = frames + rows + self.width_pos_embedding
        return torch.cat([self.cls_pos_embedding, grid.flatten(0, 2)])

    def initialize(self, generator: torch.Generator | None, *, std: float) -> None:
        """Draw tables whose sum has the standard deviation of one table alone."""
        self.cls_pos_embedding.data.normal_(0.0, std, generator=generator)
        for table in (self.temporal_pos_embedding, self.height_pos_embedding, self.width_pos_embedding):
            table.data.normal_(0.0, std / math.sqrt(3), generator=generator)


class SpaceTimePositions(nn.Module):
    """One row per frame and one per place within a frame, added up ("temporal_separation")."""

    def __init__(self, grid: Grid, dim: int) -> None:
        super().__init__()
        self.cls_pos_embedding = nn.Parameter(torch.empty(1, dim))
        self.temporal_pos_embedding = nn.Parameter(torch.empty(grid.length, dim))
        self.spatial_pos_embedding = nn.Parameter(torch.empty(grid.height * grid.width, dim))

    def forward(self) -> Tensor:
        """Return the table [1 + L*H*W, D]: CLS first, then frames, rows, columns."""
        grid = self.temporal_pos_embedding[:, None] + self.spatial_pos_embedding
        return torch.cat([self.cls_pos_embedding, grid.flatten(0, 1)])

    def initialize(self, generator: torch.Generator | None, *, std: float) -> None:
        """Draw tables whose sum has the standard deviation of one table alone."""
        self.cls_pos_embedding.data.normal_(0.0, std, generator=generator)
        for table in (self.temporal_pos_embedding, self.spatial_pos_embedding):
            table.data.normal_(0.0, std / math.sqrt(2), generator=generator)


class JointPositions(nn.Module):
    """One row per token, CLS in row 0 ("default")."""

    def __init__(self, grid: Grid, dim: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(1 + grid.num_tokens, dim))

    def forward(self) -> Tensor:
        """Return the table [1 + L*H*W, D]: CLS first, then frames, rows, columns."""
        return self.positional_embedding

    def initialize(self, generator: torch.Generator | None, *, std: float) -> None:
        """Draw the table."""
        self.positional_embedding.data.normal_(0.0, std, generator=generator)


Positions = SeparatePositions | SpaceTimePositions | JointPositions


def build_positions(pos_emb: str, *, grid: Grid, dim: int) -> Positions:
    """Make the positions that a model configuration names."""
    kinds: dict[str, type[Positions]] = {
        "hw_separation": SeparatePositions,
        "temporal_separation": SpaceTimePositions,
        "default": JointPositions,
    }
    return kinds[pos_emb](grid, dim)


def stretch_positions(state: Mapping[str, Tensor], *, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Resize the positional tables of a state to another clip length or grid.

    Every table is resized along its rows by linear interpolation (corners not aligned), as the reference
    does. With "hw_separation" each axis is resized by itself, which is right; the two other options resize a
    flattened grid as if it were a line (with "default" the CLS row takes part), kept for parity only.

    Args:
        state: a state under official keys, with tables [n, D].
        like: the state to fit, with tables [m, D] under the same keys.

    Returns:
        The state with tables of the shapes in `like`; everything else unchanged.
    """
    return {
        key: _stretch(value, like[key].shape[0]) if _is_other_shape(key, value, like) else value
        for key, value in state.items()
    }


def _is_other_shape(key: str, value: Tensor, like: Mapping[str, Tensor]) -> bool:
    return "positional_embedding." in key and key in like and like[key].shape != value.shape


def _stretch(table_ND: Tensor, num_rows: int) -> Tensor:
    line = table_ND.T[None]
    return functional.interpolate(line, size=num_rows, mode="linear", align_corners=False)[0].T.contiguous()
