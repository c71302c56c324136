"""VideoMAE's network: an encoder of the visible tubelets, a narrow decoder that reconstructs the masked ones.

Tong et al. 2022, arXiv 2203.12602, sections 3.2 and 3.3; names and rules of the published checkpoints.
"""

import torch
from torch import Tensor, nn

from vfm.trainer.models.positions import sinusoid_table
from vfm.trainer.models.vit import LAYER_NORM_EPS, Block, Encoder, VitConfig, initialize_vit, split_mask, take

_TARGET_EPS = 1e-6
_MASK_TOKEN_STD = 0.02


class PixelDecoder(nn.Module):
    """Blocks over all tokens, and a linear layer that gives the pixels of the last ones.

    Args:
        dim: channels.
        depth: blocks.
        num_heads: of each block.
        num_outputs: pixels of a tubelet times three.
    """

    def __init__(self, *, dim: int, depth: int, num_heads: int, num_outputs: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, num_heads, mlp_ratio=4.0) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.head = nn.Linear(dim, num_outputs)

    def forward(self, x: Tensor, *, num_last: int) -> Tensor:
        """Return [B, num_last, num_outputs] of the last tokens of [B, N, dim]."""
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x[:, -num_last:]))
        return out


class MaskedAutoencoder(nn.Module):
    """Encoder, decoder and the vector that stands for a hidden token.

    Args:
        config: sizes of the encoder.
        decoder_dim: channels of the decoder.
        decoder_depth: its blocks.
        decoder_heads: heads of each.
    """

    decoder_positions: Tensor

    def __init__(
        self, config: VitConfig, *, decoder_dim: int, decoder_depth: int, decoder_heads: int
    ) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.encoder_to_decoder = nn.Linear(config.dim, decoder_dim, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        table = sinusoid_table(config.num_tokens, decoder_dim)
        self.register_buffer("decoder_positions", table, persistent=False)
        self.decoder = PixelDecoder(
            dim=decoder_dim,
            depth=decoder_depth,
            num_heads=decoder_heads,
            num_outputs=3 * config.tubelet * config.patch_px**2,
        )

    def initialize(self, generator: torch.Generator) -> None:
        """Draw every weight as the published code does: what leads to the decoder as torch draws it."""
        initialize_vit(self, generator=generator)
        nn.init.kaiming_uniform_(self.encoder_to_decoder.weight, a=5**0.5, generator=generator)
        bounds = {"a": -_MASK_TOKEN_STD, "b": _MASK_TOKEN_STD}
        nn.init.trunc_normal_(self.mask_token, std=_MASK_TOKEN_STD, **bounds, generator=generator)

    def forward(self, clips: Tensor, is_hidden: Tensor) -> Tensor:
        """Return what `reconstruct` does."""
        return self.reconstruct(clips, is_hidden)

    def reconstruct(self, clips: Tensor, is_hidden: Tensor) -> Tensor:
        """Return the pixels of the hidden tubelets, float [B, N_hidden, 3 · tubelet · patch²].

        Args:
            clips: float [B, 3, T, H, W], normalised.
            is_hidden: bool [B, N], as many hidden in every row.
        """
        visible, hidden = split_mask(is_hidden)
        return self.reconstruct_tokens(clips, visible=visible, hidden=hidden)

    def reconstruct_tokens(self, clips: Tensor, *, visible: Tensor, hidden: Tensor) -> Tensor:
        """Return what `reconstruct` does.

        Args:
            clips: float [B, 3, T, H, W], normalised.
            visible: int64 [B, N_visible], the tokens that the encoder sees, ascending.
            hidden: int64 [B, N_hidden], all others, ascending.
        """
        return self.decode(self.encoder(clips, visible=visible), visible=visible, hidden=hidden)

    def decode(self, encoded: Tensor, *, visible: Tensor, hidden: Tensor) -> Tensor:
        """Return what `reconstruct` does, of visible tokens that were encoded, float [B, N_visible, D]."""
        seen = self.encoder_to_decoder(encoded) + self.decoder_positions[visible]
        guessed = self.mask_token + self.decoder_positions[hidden]
        out: Tensor = self.decoder(torch.cat([seen, guessed], dim=1), num_last=hidden.shape[1])
        return out


def pixel_targets(clips: Tensor, is_hidden: Tensor, *, config: VitConfig, normalized: bool = True) -> Tensor:
    """Return the decoder's targets: float32 [B, N_hidden, 3 · tubelet · patch²], the colour fastest.

    Args:
        clips: float [B, 3, T, H, W] in 0 to 1.
        is_hidden: bool [B, N], as many hidden in every row.
        config: sizes of the encoder.
        normalized: whether each tubelet and colour is brought to mean 0 and unbiased deviation 1
            (section 3.3; the epsilon 1e-6 stands outside the root, as in the published code).
    """
    batch = len(clips)
    times, rows, columns = config.grid
    side = config.patch_px
    cubes = clips.view(batch, 3, times, config.tubelet, rows, side, columns, side)
    cubes = cubes.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, config.num_tokens, -1, 3)
    if normalized:
        deviation = cubes.var(dim=2, unbiased=True, keepdim=True).sqrt()
        cubes = (cubes - cubes.mean(dim=2, keepdim=True)) / (deviation + _TARGET_EPS)
    return take(cubes.flatten(2), split_mask(is_hidden)[1])
