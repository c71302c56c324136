"""Attention over pooled tokens, with decomposed relative positions and residual pooling (MViTv2).

Fan et al. 2021, arXiv 2104.11227, section 3.1; Li et al. 2022, arXiv 2112.01526, section 4.1. Shapes: B
clips, T x H x W the grid of patches, N = 1 + T · H · W tokens in the order of class token, time, rows,
columns, h heads of C channels, D channels of all heads.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.models.attention import attend
from vfm.trainer.models.depthwise import depthwise_conv
from vfm.trainer.models.vit import LAYER_NORM_EPS

Grid = tuple[int, int, int]
_KERNEL = 3
_AXES = ("t", "h", "w")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolingShape:
    """Where attention looks from, and what at.

    Attributes:
        dim_in: channels of the tokens that come in.
        dim: channels of queries, keys, values and of what goes out.
        num_heads: equal parts of ``dim``.
        grid: patches that come in, in time, rows and columns.
        q_stride: rows and columns to one row and column of queries, and of what goes out.
        kv_stride: the same of keys and values.
    """

    dim_in: int
    dim: int
    num_heads: int
    grid: Grid
    q_stride: int = 1
    kv_stride: int = 1

    @property
    def head_dim(self) -> int:
        """Channels of a head."""
        return self.dim // self.num_heads

    @property
    def q_grid(self) -> Grid:
        """Queries in time, rows and columns."""
        return pooled_grid(self.grid, stride=self.q_stride)

    @property
    def kv_grid(self) -> Grid:
        """Keys in time, rows and columns."""
        return pooled_grid(self.grid, stride=self.kv_stride)


def pooled_grid(grid: Grid, *, stride: int) -> Grid:
    """Return what a kernel of 3 that steps over rows and columns, padded by 1, leaves of a grid."""
    times, rows, columns = grid
    return times, -(-rows // stride), -(-columns // stride)


class DepthwisePool(nn.Conv3d):
    """A depthwise convolution whose weights all heads share; time is never pooled.

    Args:
        head_dim: channels of a head.
        stride: of rows and columns.
    """

    def __init__(self, head_dim: int, *, stride: int) -> None:
        super().__init__(
            head_dim, head_dim, _KERNEL, stride=(1, stride, stride), padding=1, groups=head_dim, bias=False
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Return [B, T, H', W', D] of patches [B, T, H, W, D], any view of them: none is copied."""
        weight = self.weight.repeat(patches.shape[-1] // self.in_channels, 1, 1, 1, 1)
        return depthwise_conv(patches, weight, stride=self.stride[-1])


class PoolingAttention(nn.Module):
    """Queries, keys and values of pooled patches beside the class token, which is never pooled.

    Args:
        shape: grids and channels.
    """

    rel_pos_t: Tensor
    rel_pos_h: Tensor
    rel_pos_w: Tensor
    places: Tensor

    def __init__(self, shape: PoolingShape) -> None:
        super().__init__()
        self.shape = shape
        self.qkv = nn.Linear(shape.dim_in, 3 * shape.dim)
        self.proj = nn.Linear(shape.dim, shape.dim)
        for part, stride in (("q", shape.q_stride), ("k", shape.kv_stride), ("v", shape.kv_stride)):
            self.add_module(f"pool_{part}", DepthwisePool(shape.head_dim, stride=stride))
            self.add_module(f"norm_{part}", nn.LayerNorm(shape.head_dim, eps=LAYER_NORM_EPS))
        for axis, queries, keys in zip(_AXES, shape.q_grid, shape.kv_grid, strict=True):
            table = torch.zeros(2 * max(queries, keys) - 1, shape.head_dim)
            self.register_parameter(f"rel_pos_{axis}", nn.Parameter(table))
            # Not in the state: they follow from the grids.
            self.register_buffer(f"rows_{axis}", relative_rows(queries, keys), persistent=False)
        self.register_buffer("places", one_hot_places(shape.kv_grid), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, 1 + T · H' · W', dim] of tokens [B, 1 + T · H · W, dim_in]."""
        qkv = self.qkv(x).view(*x.shape[:2], 3, -1).unbind(2)
        query, key, value = (self._pooled(tokens, part=part) for tokens, part in zip(qkv, "qkv", strict=True))
        attended = self._attend(query, key, value)
        attended = torch.cat([attended[:, :, :1], attended[:, :, 1:] + query[:, :, 1:]], dim=2)
        out: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return out

    def _pooled(self, tokens: Tensor, *, part: str) -> Tensor:
        """Return [B, h, 1 + T · H' · W', C] of tokens [B, 1 + T · H · W, dim]."""
        pool, norm = self.get_submodule(f"pool_{part}"), self.get_submodule(f"norm_{part}")
        patches = pool(tokens[:, 1:].view(tokens.shape[0], *self.shape.grid, -1)).flatten(1, 3)
        joined = torch.cat([tokens[:, :1], patches], dim=1)
        normalized: Tensor = norm(joined.view(*joined.shape[:2], self.shape.num_heads, -1)).transpose(1, 2)
        return normalized

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return softmax(query keyᵀ / √C + relative terms) value, [B, h, N, C].

        The relative terms of a query and a key are one number for the time between them, one for the rows and
        one for the columns, each an inner product of the query with a row of a table. A query that carries
        its numbers for all times, rows and columns, and a key that has a one where its own time, row and
        column are, multiply to the whole logit: so there is no matrix of biases, which would be as large as
        the attention itself.
        """
        dim, num_places = self.shape.head_dim, sum(self.shape.kv_grid)
        # Logits will be divided by the root of the whole width, and are meant to be by that of C alone.
        root = (dim + num_places) ** 0.5
        asking = torch.cat([query * (root / dim**0.5), self._relative(query, scale=root)], dim=-1)
        places = self.places.to(key.dtype).expand(*key.shape[:2], -1, -1)
        asked = torch.cat([key, places], dim=-1)
        padded = functional.pad(value, (0, num_places))  # fused kernels want equal widths
        return attend(asking, asked, padded)[..., :dim]

    def _relative(self, query: Tensor, *, scale: float) -> Tensor:
        """Return what each query adds for every time, row and column of keys, [B, h, N, T + H'' + W''].

        The class token adds nothing.
        """
        patches = query[:, :, 1:].view(*query.shape[:2], *self.shape.q_grid, -1)
        terms = []
        for axis in _AXES:
            table = scale * getattr(self, f"rel_pos_{axis}")[getattr(self, f"rows_{axis}")]
            terms.append(torch.einsum(f"bnthwc,{axis}kc->bnthwk", patches, table.to(query.dtype)))
        return functional.pad(torch.cat(terms, dim=-1).flatten(2, 4), (0, 0, 1, 0))


def relative_rows(num_queries: int, num_keys: int) -> Tensor:
    """Return the row of a table for each query and key along one axis, int64 [Q, K].

    Where one of the two is pooled, its steps are as long as the other's between them.
    """
    ahead, behind = max(num_keys / num_queries, 1.0), max(num_queries / num_keys, 1.0)
    queries, keys = torch.arange(num_queries)[:, None] * ahead, torch.arange(num_keys)[None] * behind
    return (queries - keys + (num_keys - 1) * behind).long()


def one_hot_places(grid: Grid) -> Tensor:
    """Return a one at each key's time, row and column, float32 [1 + T · H · W, T + H + W].

    The first row, of the class token, is zero.
    """
    axes = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    ones = [functional.one_hot(axis, size) for axis, size in zip(axes, grid, strict=True)]
    return functional.pad(torch.cat(ones, dim=-1).flatten(0, 2), (0, 0, 1, 0)).float()
