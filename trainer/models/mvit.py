"""The multiscale vision transformer for video, second version (Li et al. 2022, arXiv 2112.01526).

Names of parameters are those of PySlowFast's checkpoints. Shapes: B clips, N = 1 + T · H · W tokens in the
order of class token, time, rows, columns, D channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.models.pooling_attention import Grid, PoolingAttention, PoolingShape, pooled_grid
from vfm.trainer.models.vit import LAYER_NORM_EPS, DropPath, Mlp

STEM_PX, STEM_FRAMES = 4, 2  # pixels and frames to one token of the first block
_STD = 0.02
_BIAS = 0.02
_MLP_RATIO = 4
_POOL_STRIDE = 2

Growth = Literal["mlp", "attention"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockShape:
    """Sizes of a block.

    Attributes:
        attention: channels and grids.
        dim_out: channels of what goes out.
        drop_path: how often the block is left out in training.
    """

    attention: PoolingShape
    dim_out: int
    drop_path: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MvitConfig:
    """Sizes of a network.

    Attributes:
        image_px: side of a frame.
        num_frames: of a clip.
        dim: channels of the first block.
        depth: blocks.
        num_heads: of the first block.
        grows_at: blocks that have twice the heads, and with them twice the channels, of those before.
        pools_at: blocks that leave half of the rows and columns.
        kv_stride: rows and columns to one of the keys and values, before the first of these; it is halved by
            each of them.
        growth: where channels double: in the attention of the growing block, as in the supervised models, or
            in the perceptron of the block before it, as in MaskFeat.
        drop_path: how often the last block is left out in training; earlier ones less, the first never.
    """

    image_px: int = 224
    num_frames: int = 16
    dim: int = 96
    depth: int = 16
    num_heads: int = 1
    grows_at: tuple[int, ...] = (1, 3, 14)
    pools_at: tuple[int, ...] = (1, 3, 14)
    kv_stride: int = 8
    growth: Growth = "mlp"
    drop_path: float = 0.0

    @property
    def stem_grid(self) -> Grid:
        """Patches of the first block in time, rows and columns."""
        side = self.image_px // STEM_PX
        return self.num_frames // STEM_FRAMES, side, side

    @property
    def num_tokens(self) -> int:
        """Patches of the first block."""
        times, rows, columns = self.stem_grid
        return times * rows * columns

    @property
    def grid(self) -> Grid:
        """Patches behind the last block."""
        grid = self.stem_grid
        for _ in self.pools_at:
            grid = pooled_grid(grid, stride=_POOL_STRIDE)
        return grid

    @property
    def dim_out(self) -> int:
        """Channels behind the last block."""
        return self.dim << len(self.grows_at)

    def blocks(self) -> Iterator[BlockShape]:
        """Yield the shape of each block."""
        dim, num_heads, grid, kv_stride = self.dim, self.num_heads, self.stem_grid, self.kv_stride
        for number in range(self.depth):
            q_stride = _POOL_STRIDE if number in self.pools_at else 1
            kv_stride = max(kv_stride // q_stride, 1)
            grows = number in self.grows_at
            num_heads *= 2 if grows else 1
            inside = 2 * dim if grows and self.growth == "attention" else dim
            widens = self.growth == "mlp" and number + 1 in self.grows_at
            shape = PoolingShape(
                dim_in=dim, dim=inside, num_heads=num_heads, grid=grid, q_stride=q_stride, kv_stride=kv_stride
            )
            dim, grid = 2 * inside if widens else inside, shape.q_grid
            drop_path = self.drop_path * number / max(self.depth - 1, 1)
            yield BlockShape(attention=shape, dim_out=dim, drop_path=drop_path)


class PatchEmbed(nn.Module):
    """Overlapping patches of a clip, each one token."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(
            3, dim, kernel_size=(3, 7, 7), stride=(STEM_FRAMES, STEM_PX, STEM_PX), padding=(1, 3, 3)
        )

    def forward(self, clips: Tensor) -> Tensor:
        """Return [B, N, D], the class token not among them, of normalised clips [B, 3, T, H, W]."""
        patches: Tensor = self.proj(clips)
        return patches.flatten(2).transpose(1, 2)


class MvitBlock(nn.Module):
    """Pooling attention, then a perceptron; the path around it is pooled and widened as they are.

    Args:
        shape: sizes.
    """

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        attention = shape.attention
        self.shape = shape
        self.norm1 = nn.LayerNorm(attention.dim_in, eps=LAYER_NORM_EPS)
        self.attn = PoolingAttention(attention)
        self.drop_path = DropPath(shape.drop_path)
        self.norm2 = nn.LayerNorm(attention.dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(attention.dim, _MLP_RATIO * attention.dim, dim_out=shape.dim_out)
        self.grows_in_attention = attention.dim_in != attention.dim
        if attention.dim_in != shape.dim_out:
            self.proj = nn.Linear(attention.dim_in, shape.dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, N', dim_out] of tokens [B, N, dim_in]."""
        normalized = self.norm1(x)
        around = self.proj(normalized) if self.grows_in_attention else x
        x = self._pooled(around) + self.drop_path(self.attn(normalized))
        normalized = self.norm2(x)
        is_wider = self.shape.attention.dim != self.shape.dim_out
        around = self.proj(normalized) if is_wider else x
        out: Tensor = around + self.drop_path(self.mlp(normalized))
        return out

    def _pooled(self, x: Tensor) -> Tensor:
        """Return the largest of 3 x 3 patches in place of every second row and column; no norm follows."""
        stride = self.shape.attention.q_stride
        if stride == 1:
            return x
        patches = x[:, 1:].view(x.shape[0], *self.shape.attention.grid, -1).permute(0, 4, 1, 2, 3)
        kernel, pad = stride + 1, (stride + 1) // 2
        pooled = functional.max_pool3d(
            patches, (1, kernel, kernel), stride=(1, stride, stride), padding=(0, pad, pad)
        )
        return torch.cat([x[:, :1], pooled.flatten(2).transpose(1, 2)], dim=1)


class Mvit(nn.Module):
    """Patches, the class token in front of them, and the blocks; no norm behind these.

    Args:
        config: sizes.
    """

    def __init__(self, config: MvitConfig) -> None:
        super().__init__()
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.patch_embed = PatchEmbed(config.dim)
        self.blocks = nn.ModuleList(MvitBlock(shape) for shape in config.blocks())

    def encode(self, patches: Tensor) -> Tensor:
        """Return the tokens behind the last block, [B, 1 + N', D'], the class token first.

        Args:
            patches: [B, N, D] of ``patch_embed``.
        """
        x = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        for block in self.blocks:
            x = block(x)
        return x


def initialize_mvit(module: nn.Module, *, generator: torch.Generator) -> None:
    """Draw first weights as PySlowFast does: biases 0.02, and everything else a normal of deviation 0.02.

    Convolutions are as torch draws them, the weights of norms 1.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            _draw_convolution(part, generator=generator)
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=_STD, generator=generator)
        if isinstance(part, nn.Linear | nn.LayerNorm):
            nn.init.constant_(part.bias, _BIAS)
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2].startswith(("rel_pos_", "cls_token", "mask_token")):
            nn.init.trunc_normal_(parameter, std=_STD, generator=generator)


def _draw_convolution(part: nn.Conv3d, *, generator: torch.Generator) -> None:
    nn.init.kaiming_uniform_(part.weight, a=5**0.5, generator=generator)
    if part.bias is not None:
        bound = part.weight[0].numel() ** -0.5
        nn.init.uniform_(part.bias, -bound, bound, generator=generator)
