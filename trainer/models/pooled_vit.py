"""The encoder as VideoMAE and UMT finetune it: the mean over tokens, then a norm; none behind the blocks."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vfm.trainer.models.positions import sinusoid_table, stretch_table
from vfm.trainer.models.vit import LAYER_NORM_EPS, Block, PatchEmbed, VitConfig

POSITIONS = "pos_embed"
# Before the names of an encoder in states of SimVTP's finetuning, of UMT's second stage, and of others.
_PREFIXES = (
    "backbone.video_encoder.",
    "backbone.vision_encoder.encoder.",
    "vision_encoder.encoder.",
    "encoder.",
    "backbone.",
)
_NOT_POOLED = ("norm.", "text_embeddings.")  # of an encoder, and not of `PooledVit`
_CONSTANT_TABLE = 8 * 14 * 14  # positions of the one table that UMT keeps out of its checkpoints


class PooledVit(nn.Module):
    """Clips to one vector each.

    Args:
        config: sizes.
        positions: table [N, D] to add to the tokens; the sinusoids of this grid unless given.
        keeps_positions: whether the table is part of the state, as UMT has it for grids it was not made for.
    """

    pos_embed: Tensor

    def __init__(
        self, config: VitConfig, *, positions: Tensor | None = None, keeps_positions: bool = False
    ) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        table = sinusoid_table(config.num_tokens, config.dim) if positions is None else positions
        self.register_buffer(POSITIONS, table[None], persistent=keeps_positions)
        self.blocks = nn.ModuleList(
            Block(config.dim, config.num_heads, mlp_ratio=config.mlp_ratio, drop_path=rate)
            for rate in config.drop_paths
        )
        self.fc_norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)

    def forward(self, clips: Tensor) -> Tensor:
        """Return float [B, D] of normalised clips [B, 3, T, H, W]."""
        return self.pool(self.encode(clips))

    def encode(self, clips: Tensor) -> Tensor:
        """Return the tokens behind the last block, not normalised, float [B, N, D]; see `forward`."""
        x: Tensor = self.patch_embed(clips) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x

    def pool(self, tokens: Tensor) -> Tensor:
        """Return the mean of tokens [B, N, D], normalised: float [B, D]."""
        out: Tensor = self.fc_norm(tokens.mean(1))
        return out


def umt_positions(config: VitConfig, *, pretrained_grid: tuple[int, int, int]) -> tuple[Tensor, bool]:
    """Return UMT's table [N, D] for a grid, and whether it is part of the state.

    It begins as the sinusoids of the grid that the encoder was pretrained on and is stretched from there,
    space before time. Only a table that has another number of positions than 8 x 14 x 14 is stored in
    checkpoints, where it is never learned either.

    Args:
        config: sizes of the encoder.
        pretrained_grid: times, rows and columns; of the published encoders 8 x 14 x 14, or 8 x 16 x 16 where
            patches have 14 px.
    """
    table = sinusoid_table(math.prod(pretrained_grid), config.dim)
    table = stretch_table(table, grid=pretrained_grid, to=config.grid)
    return table, len(table) != _CONSTANT_TABLE


def encoder_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a state of VideoMAE, UMT or SimVTP holds for `PooledVit`.

    The prefix goes; the norm behind the blocks is left aside with everything that is not the encoder, so
    that ``fc_norm`` starts from its initial values, as in the published code.
    """
    for prefix in _PREFIXES:
        found = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
        if found:
            return {name: t for name, t in found.items() if not name.startswith(_NOT_POOLED)}
    return {name: tensor for name, tensor in state.items() if not name.startswith("head.")}


def draw_head(head: nn.Linear, *, generator: torch.Generator, scale: float = 0.001) -> None:
    """Draw a classifier's first weights: truncated normal of deviation 0.02, made smaller by ``scale``."""
    nn.init.trunc_normal_(head.weight, std=0.02, generator=generator)
    head.weight.data.mul_(scale)
    nn.init.zeros_(head.bias)
