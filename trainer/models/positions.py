"""Tables of positions that are computed, not learned, and how they are stretched to another grid."""

import torch
from torch import Tensor
from torch.nn import functional


def sinusoid_table(num_positions: int, dim: int) -> Tensor:
    """Return the sinusoid of each position, float32 [N, dim] (Vaswani et al. 2017, section 3.5).

    Channel j of position n is the sine (j even) or cosine (j odd) of ``n / 10000^(2·⌊j/2⌋/dim)``, computed
    in float64. Positions are counted through the whole clip: time, then rows, then columns.
    """
    channels = torch.arange(dim, dtype=torch.float64)
    rates = 10000.0 ** (-2 * (channels // 2) / dim)
    angles = torch.arange(num_positions, dtype=torch.float64)[:, None] * rates
    return torch.where(channels % 2 == 0, angles.sin(), angles.cos()).float()


def stretch_table(
    table: Tensor, *, grid: tuple[int, int, int], to: tuple[int, int, int], space_first: bool = True
) -> Tensor:
    """Return a table of positions [N, D] for another grid, float32 [N', D].

    Rows and columns are stretched bicubically frame by frame, time linearly, neither with aligned corners.

    Args:
        table: positions of ``grid``.
        grid: times, rows and columns that the table is for.
        to: the same of the result.
        space_first: whether space is stretched before time; the results differ by rounding alone.
    """
    steps = (_stretch_space, _stretch_time) if space_first else (_stretch_time, _stretch_space)
    field = table.view(*grid, -1)
    for step in steps:
        field = step(field, to)
    return field.reshape(-1, table.shape[1])


def _stretch_space(field: Tensor, to: tuple[int, int, int]) -> Tensor:
    if field.shape[1:3] == to[1:]:
        return field
    planes = field.permute(0, 3, 1, 2)
    return functional.interpolate(planes, to[1:], mode="bicubic", align_corners=False).permute(0, 2, 3, 1)


def _stretch_time(field: Tensor, to: tuple[int, int, int]) -> Tensor:
    if field.shape[0] == to[0]:
        return field
    lines = field.permute(1, 2, 3, 0).flatten(0, 1)
    stretched = functional.interpolate(lines, to[0], mode="linear", align_corners=False)
    return stretched.view(*field.shape[1:], to[0]).permute(3, 0, 1, 2)
