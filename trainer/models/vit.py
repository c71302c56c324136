"""The vision transformer for video that VideoMAE, UMT and SimVTP share: blocks, tubelets, encoder.

Names of parameters are those of the published checkpoints. Shapes: B clips, T frames, H x W pixels, N tokens
in the order of time, rows, columns, D channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.models.attention import attend
from vfm.trainer.models.positions import sinusoid_table

LAYER_NORM_EPS = 1e-6
_LINEAR_STD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class VitConfig:
    """Sizes of an encoder.

    Attributes:
        image_px: side of a frame.
        patch_px: side of a token.
        num_frames: of a clip.
        tubelet: frames of a token.
        dim: channels of a token.
        depth: blocks.
        num_heads: of each block.
        mlp_ratio: width of a block's perceptron over ``dim``.
        drop_path: how often the last block is left out in training; earlier ones less, the first never.
        reads_images: whether single frames are read as well, with a table of positions of their own.
    """

    image_px: int = 224
    patch_px: int = 16
    num_frames: int = 16
    tubelet: int = 2
    dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    drop_path: float = 0.0
    reads_images: bool = False

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens in time, rows and columns."""
        side = self.image_px // self.patch_px
        return self.num_frames // self.tubelet, side, side

    @property
    def num_tokens(self) -> int:
        """Tokens of a clip."""
        times, rows, columns = self.grid
        return times * rows * columns

    @property
    def drop_paths(self) -> tuple[float, ...]:
        """How often each block is left out, rising evenly."""
        return tuple(self.drop_path * i / max(self.depth - 1, 1) for i in range(self.depth))


class PatchEmbed(nn.Module):
    """Cuts a clip into tubelets, each one token."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.tubelet, config.patch_px, config.patch_px)
        self.proj = nn.Conv3d(3, config.dim, kernel_size=shape, stride=shape)

    def forward(self, clips: Tensor, *, visible: Tensor | None = None) -> Tensor:
        """Return [B, N, D] of clips [B, 3, T, H, W], or [B, N_visible, D] of what is visible alone.

        Args:
            clips: normalized; of one frame where the encoder reads images.
            visible: int64 [B, N_visible]; None for all.
        """
        config = self.config
        num_frames = clips.shape[2] if config.reads_images and clips.shape[2] == 1 else config.num_frames
        wanted = (3, num_frames, config.image_px, config.image_px)
        assert clips.shape[1:] == wanted, f"clips of {wanted}, got {tuple(clips.shape[1:])}"
        if visible is None:
            tokens: Tensor = self.proj(clips)
            return tokens.flatten(2).transpose(1, 2)
        # A convolution whose stride is its kernel is one product of matrices, here of few rows.
        return functional.linear(self._cut(clips, visible), self.proj.weight.flatten(1), self.proj.bias)

    def _cut(self, clips: Tensor, visible: Tensor) -> Tensor:
        """Return the pixels of tubelets in the order of the kernel, [B, N_visible, 3 · tubelet · patch²]."""
        _, rows, columns = self.config.grid
        side = self.config.patch_px
        cubes = clips.view(len(clips), 3, -1, self.config.tubelet, rows, side, columns, side)
        clip = torch.arange(len(clips), device=clips.device)[:, None]
        time, row, column = visible // (rows * columns), visible // columns % rows, visible % columns
        return cubes[clip, :, time, :, row, :, column].flatten(2)


class Attention(nn.Module):
    """Self-attention with a bias for queries and values and none for keys."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return [B, N, D] of tokens [B, N, D].

        Args:
            x: tokens.
            mask: added to the logits, anything that broadcasts to [B, heads, N, N].
        """
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        qkv = functional.linear(x, self.qkv.weight, bias)
        query, key, value = qkv.view(*x.shape[:2], 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = attend(query, key, value, mask=mask)
        out: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them; ``dim_out`` channels go out, else ``dim``."""

    def __init__(self, dim: int, hidden: int, *, dim_out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim_out or dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., dim_out] of [..., dim]."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class DropPath(nn.Module):
    """Leaves a branch out for some samples in training and makes up for it in the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, ...] of [B, ...]."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        kept = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) < keep
        return x * kept / keep


class Block(nn.Module):
    """Attention, then a perceptron; each sees the normalised sum of all before it."""

    def __init__(self, dim: int, num_heads: int, *, mlp_ratio: float, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.attn = Attention(dim, num_heads)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return [B, N, D] of tokens [B, N, D]."""
        x = x + self.drop_path(self.attn(self.norm1(x), mask))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class Encoder(nn.Module):
    """Embeds the tubelets of a clip and transforms those that are visible.

    Args:
        config: sizes.
        positions: table [N, D] to add to the tokens of a clip; the sinusoids of its grid unless given.
    """

    positions: Tensor
    image_positions: Tensor | None

    def __init__(self, config: VitConfig, *, positions: Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        # Not in the state: they follow from the sizes.
        table = sinusoid_table(config.num_tokens, config.dim) if positions is None else positions
        self.register_buffer("positions", table, persistent=False)
        _, rows, columns = config.grid
        images = sinusoid_table(rows * columns, config.dim) if config.reads_images else None
        self.register_buffer("image_positions", images, persistent=False)
        self.blocks = nn.ModuleList(
            Block(config.dim, config.num_heads, mlp_ratio=config.mlp_ratio, drop_path=rate)
            for rate in config.drop_paths
        )
        self.norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)

    def forward(self, clips: Tensor, *, visible: Tensor | None = None) -> Tensor:
        """Return the normalised outputs of the last block, [B, N_visible, D]; see `levels`."""
        return self.levels(clips, visible=visible, blocks=[len(self.blocks) - 1])[0]

    def levels(self, clips: Tensor, *, visible: Tensor | None, blocks: Sequence[int]) -> list[Tensor]:
        """Return the normalised outputs of some blocks, in the order of the blocks.

        Args:
            clips: float [B, 3, T, H, W], normalised.
            visible: int64 [B, N_visible], the tokens that go through, ascending; None for all.
            blocks: which blocks, ascending.

        Returns:
            Of each block [B, N_visible, D].
        """
        x = self.embed(clips, visible=visible)
        found = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in blocks:
                found.append(self.norm(x))
        return found

    def embed(self, clips: Tensor, *, visible: Tensor | None = None) -> Tensor:
        """Return what goes into the first block, [B, N_visible, D]; see `levels`."""
        images = self.image_positions if clips.shape[2] == 1 else None
        table = self.positions if images is None else images
        positions = table if visible is None else table[visible]
        x: Tensor = self.patch_embed(clips, visible=visible) + positions
        return x

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the normalised outputs of the last block for any tokens [B, N, D], such as words.

        Args:
            x: what goes into the first block.
            mask: see `Attention`.
        """
        for block in self.blocks:
            x = block(x, mask)
        out: Tensor = self.norm(x)
        return out


def take(tokens: Tensor, which: Tensor) -> Tensor:
    """Return tokens [B, K, D] of [B, N, D] by their numbers, int64 [B, K]."""
    return tokens.gather(1, which[:, :, None].expand(-1, -1, tokens.shape[2]))


def split_mask(is_hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers of visible and of hidden tokens, int64 [B, N_visible] and [B, N_hidden], ascending.

    Args:
        is_hidden: bool [B, N], as many hidden in every row.

    Raises:
        ValueError: the rows hide different numbers of tokens.
    """
    fewest, most = torch.stack(is_hidden.sum(1).aminmax()).tolist()
    if fewest != most:
        raise ValueError(f"Masks of one batch hide {fewest} to {most} tokens: hide as many in each clip.")
    order = is_hidden.to(torch.uint8).argsort(dim=1, stable=True)
    num_visible = is_hidden.shape[1] - int(most)
    return order[:, :num_visible], order[:, num_visible:]


def initialize_vit(
    module: nn.Module, *, generator: torch.Generator, linear: Literal["xavier", "truncated"] = "xavier"
) -> None:
    """Draw first weights: biases 0, norms 1, convolutions as torch does.

    As the published code of VideoMAE and UMT does.

    Args:
        module: the network.
        generator: source of chance.
        linear: how weights of linear layers are drawn: ``xavier`` (uniform) for pretraining, ``truncated``
            (normal of deviation 0.02) for finetuning.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear) and linear == "xavier":
            nn.init.xavier_uniform_(part.weight, generator=generator)
        elif isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=_LINEAR_STD, generator=generator)
        elif isinstance(part, nn.Conv3d):
            nn.init.kaiming_uniform_(part.weight, a=5**0.5, generator=generator)
        if isinstance(part, nn.Conv3d) and part.bias is not None:
            bound = part.weight[0].numel() ** -0.5
            nn.init.uniform_(part.bias, -bound, bound, generator=generator)
        elif isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
