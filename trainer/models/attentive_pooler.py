"""One vector of all tokens of a clip, found by a learned query, as V-JEPA is evaluated (Bardes et al. 2024).

Shapes: B clips, N tokens, D channels.
"""

import math

import torch
from torch import Tensor, nn

from vfm.trainer.models.attention import attend
from vfm.trainer.models.vit import LAYER_NORM_EPS, Block, Mlp

_STD = 0.02


class CrossAttention(nn.Module):
    """Queries look at tokens; both are projected with a bias."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        """Return [B, Q, D] for queries [B, Q, D] and tokens [B, N, D]."""
        asked = self.q(query).view(*query.shape[:2], self.num_heads, -1).transpose(1, 2)
        key, value = self.kv(tokens).view(*tokens.shape[:2], 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(attend(asked, key, value).transpose(1, 2).flatten(2))
        return out


class AttentivePooler(nn.Module):
    """A learned query takes from the normalised tokens, then a perceptron; each adds to the query.

    Args:
        dim: channels of a token.
        num_heads: of each block.
        depth: blocks: the query's, and before it those in which tokens look at each other.
        mlp_ratio: width of a block's perceptron over ``dim``.
    """

    def __init__(self, dim: int, *, num_heads: int, depth: int, mlp_ratio: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, num_heads, mlp_ratio=mlp_ratio) for _ in range(depth - 1))
        self.query = nn.Parameter(torch.empty(1, 1, dim))
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.attn = CrossAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [B, D] of tokens [B, N, D]."""
        for block in self.blocks:
            tokens = block(tokens)
        query = self.query.expand(len(tokens), -1, -1)
        query = query + self.attn(query, self.norm1(tokens))
        out: Tensor = query + self.mlp(self.norm2(query))
        return out[:, 0]

    def initialize(self, generator: torch.Generator) -> None:
        """Draw every weight as the reference does: truncated normal, what ends a branch smaller by depth."""
        _draw(self.query, generator)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                _draw(part.weight, generator)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        for layer, block in enumerate([*self.blocks, self], start=1):
            for last in (block.attn.proj, block.mlp.fc2):
                last.weight.data.div_(math.sqrt(2.0 * layer))


def _draw(weight: Tensor, generator: torch.Generator) -> None:
    nn.init.trunc_normal_(weight, std=_STD, generator=generator)
