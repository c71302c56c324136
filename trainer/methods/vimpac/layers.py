"""Residual blocks of VIMPAC: attention along lines of the grid, then an MLP; CLS and grid share weights."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.methods.vimpac.grid import Grid, from_lines, to_lines
from vfm.trainer.methods.vimpac.recipe import ModelConfig, parse_layout
from vfm.trainer.models.attention import attend

LAYER_NORM_EPS = 1e-12  # the reference's, everywhere

# Shapes: tokens [B, 1 + N, D], CLS first; a key mask [B * M, 1, 1, S] is True where a key may be attended to;
# rows [R] are the tokens wanted at the end, numbered through the batch: b * (1 + N) + position.
KeyMasks = Mapping[str, Tensor]


class Projections(nn.Module):
    """Queries, keys and values of one axis, each with a bias."""

    def __init__(self, dim: int, attention_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, attention_dim)
        self.key = nn.Linear(dim, attention_dim)
        self.value = nn.Linear(dim, attention_dim)


class LineAttention(nn.Module):
    """Self-attention within every line of the grid along one axis, CLS in front of each line."""

    def __init__(self, config: ModelConfig, *, axis: str, num_axes: int) -> None:
        super().__init__()
        self.axis = axis
        self.num_heads = config.heads // num_axes
        self.dropout = config.dropout
        self.attention = Projections(config.dim, config.attention_dim // num_axes)

    def forward(self, qkv: Tensor, grid: Grid, key_mask: Tensor | None) -> Tensor:
        """Attend.

        Args:
            qkv: [B, 1 + N, 3 * C], queries, keys and values side by side.
            grid: the shape of the N tokens.
            key_mask: bool [B * M, 1, 1, S], or None when every key counts.

        Returns:
            [B, 1 + N, C], CLS averaged over the lines.
        """
        lines = to_lines(qkv, grid=grid, axis=self.axis)
        heads = lines.view(*lines.shape[:2], 3, self.num_heads, -1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = attend(query, key, value, mask=key_mask, dropout=dropout)
        return from_lines(mixed.transpose(1, 2).flatten(2), grid=grid, axis=self.axis)


class AttentionBlock(nn.Module):
    """Lines along one axis, or along several side by side with the channels split between them."""

    attentions: nn.ModuleList

    def __init__(self, config: ModelConfig, axes: Sequence[str]) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(LineAttention(config, axis=axis, num_axes=len(axes)) for axis in axes)
        self.dropout = nn.Dropout(config.dropout)

    def attend(self, tokens: Tensor, grid: Grid, key_masks: KeyMasks) -> Tensor:
        """Return [B, 1 + N, d_att], the axes' channels in the order they are written.

        All projections of the block are one matrix product: their inputs are the same, and the concatenation
        of the weights costs nothing beside it.
        """
        lines = [cast(LineAttention, line) for line in self.attentions]
        linears = [linear for line in lines for linear in line.attention.children()]
        qkv = _project(tokens, [cast(nn.Linear, linear) for linear in linears])
        parts = qkv.chunk(len(lines), dim=-1)
        mixed = [line(part, grid, key_masks.get(line.axis)) for line, part in zip(lines, parts, strict=True)]
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=-1)


def _take(tokens: Tensor, rows: Tensor | None) -> Tensor:
    return tokens if rows is None else tokens.flatten(0, 1).index_select(0, rows)


def _project(tokens: Tensor, linears: Sequence[nn.Linear]) -> Tensor:
    weight = torch.cat([linear.weight for linear in linears])
    bias = torch.cat([linear.bias for linear in linears])
    return functional.linear(tokens, weight, bias)


class AddNorm(nn.Module):
    """Linear, dropout, residual, LayerNorm: the end of a post-norm attention block, under official names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.attention_dim, config.dim)
        self.LayerNorm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, mixed: Tensor, tokens: Tensor) -> Tensor:
        """Return [B, 1 + N, D] from what attention mixed and from the block's input."""
        return cast(Tensor, self.LayerNorm(self.dropout(self.dense(mixed)) + tokens))


class PostNormAttention(AttentionBlock):
    """LayerNorm(x + attention(x))."""

    def __init__(self, config: ModelConfig, axes: Sequence[str]) -> None:
        super().__init__(config, axes)
        self.output = AddNorm(config)

    def forward(self, tokens: Tensor, grid: Grid, key_masks: KeyMasks, rows: Tensor | None = None) -> Tensor:
        """Return the next tokens [B, 1 + N, D], or [R, D] if only some rows are wanted."""
        mixed = self.attend(tokens, grid, key_masks)
        return cast(Tensor, self.output(_take(mixed, rows), _take(tokens, rows)))

    @property
    def last_linear(self) -> nn.Linear:
        """The linear layer that writes into the residual stream."""
        return self.output.dense


class PreNormAttention(AttentionBlock):
    """n + attention(n) with n = LayerNorm(x): the reference's residual is what was normalised, not x."""

    def __init__(self, config: ModelConfig, axes: Sequence[str]) -> None:
        super().__init__(config, axes)
        self.dense = nn.Linear(config.attention_dim, config.dim)
        self.LayerNorm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)

    def forward(self, tokens: Tensor, grid: Grid, key_masks: KeyMasks, rows: Tensor | None = None) -> Tensor:
        """Return the next tokens [B, 1 + N, D], or [R, D] if only some rows are wanted."""
        tokens = self.LayerNorm(tokens)
        mixed = self.attend(tokens, grid, key_masks)
        return cast(Tensor, _take(tokens, rows) + self.dropout(self.dense(_take(mixed, rows))))

    @property
    def last_linear(self) -> nn.Linear:
        """The linear layer that writes into the residual stream."""
        return self.dense


class Mlp(nn.Module):
    """Linear, GELU, linear, dropout. The GELU is the exact one, whatever the reference calls it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.dim, config.mlp_dim)
        self.c_proj = nn.Linear(config.mlp_dim, config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [..., D]."""
        return cast(Tensor, self.dropout(self.c_proj(functional.gelu(self.c_fc(tokens)))))


class ResidualBlock(nn.Module):
    """The attention blocks of a layout, then an MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        kind = PreNormAttention if config.pre_activation else PostNormAttention
        self.pre_activation = config.pre_activation
        self.attention_blocks = nn.ModuleList(kind(config, axes) for axes in parse_layout(config.layout))
        self.mlp = Mlp(config)
        self.ln = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)

    def forward(self, tokens: Tensor, grid: Grid, key_masks: KeyMasks, rows: Tensor | None = None) -> Tensor:
        """Return the next tokens [B, 1 + N, D], or [R, D] if only some rows are wanted."""
        *blocks, last = self.attention_blocks
        for block in blocks:
            tokens = block(tokens, grid, key_masks)
        tokens = last(tokens, grid, key_masks, rows)
        if self.pre_activation:
            return cast(Tensor, tokens + self.mlp(self.ln(tokens)))
        return cast(Tensor, self.ln(tokens + self.mlp(tokens)))


class Transformer(nn.Module):
    """A stack of residual blocks."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(ResidualBlock(config) for _ in range(config.num_layers))

    def forward(self, tokens: Tensor, grid: Grid, key_masks: KeyMasks, rows: Tensor | None = None) -> Tensor:
        """Return the tokens [B, 1 + N, D] after the last block, or [R, D] if only some rows are wanted.

        What follows the last attention works on each token alone, so rows nobody wants are dropped there:
        half of the last block when one code in seven is masked.
        """
        *blocks, last = self.resblocks
        for block in blocks:
            tokens = block(tokens, grid, key_masks)
        return cast(Tensor, last(tokens, grid, key_masks, rows))
