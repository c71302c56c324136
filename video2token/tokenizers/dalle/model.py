"""Encoder and decoder of the discrete VAE, with the names that OpenAI's released weights have.

No normalisation layers; a ReLU stands before every convolution of a block; a block adds its residual times
``1 / (number of blocks)²``. Three poolings make the codes eight times coarser than the pixels.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8
NUM_GROUPS = 4
_LOGIT_LAPLACE_EPS = 0.1  # Ramesh et al. 2021, appendix A.3


@dataclass(frozen=True, slots=True, kw_only=True)
class DalleConfig:
    """Sizes of an encoder or a decoder; the defaults are the released ones.

    Attributes:
        hidden: channels of the encoder's first group and of the decoder's last.
        num_blocks: residual blocks in each of the four groups.
        vocab_size: how many codes there are.
        first: channels behind the decoder's first convolution.
    """

    hidden: int = 256
    num_blocks: int = 2
    vocab_size: int = 8192
    first: int = 128

    @property
    def gain(self) -> float:
        """What a block's residual is multiplied by."""
        return 1 / (NUM_GROUPS * self.num_blocks) ** 2


def map_pixels(images: Tensor) -> Tensor:
    """Return what the encoder sees of pixels in 0 to 1: values in 0.1 to 0.9 (appendix A.3)."""
    return (1 - 2 * _LOGIT_LAPLACE_EPS) * images + _LOGIT_LAPLACE_EPS


def unmap_pixels(mapped: Tensor) -> Tensor:
    """Return pixels in 0 to 1 of mapped ones; what lies outside is clipped."""
    return ((mapped - _LOGIT_LAPLACE_EPS) / (1 - 2 * _LOGIT_LAPLACE_EPS)).clamp(0, 1)


class Conv(nn.Module):
    """A convolution that keeps the size; its parameters are called ``w`` and ``b``."""

    def __init__(self, channels_in: int, channels_out: int, side: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(channels_out, channels_in, side, side))
        self.b = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, channels_out, H, W] of [B, channels_in, H, W]."""
        return functional.conv2d(x, self.w, self.b, padding=self.w.shape[-1] // 2)


class Block(nn.Module):
    """``id_path(x) + gain · res_path(x)``; the four convolutions have the sides given."""

    def __init__(self, channels_in: int, channels_out: int, *, sides: tuple[int, ...], gain: float) -> None:
        super().__init__()
        self.gain = gain
        if channels_in != channels_out:
            self.id_path: nn.Module = Conv(channels_in, channels_out, 1)
        else:
            self.id_path = nn.Identity()
        inner = channels_out // 4
        widths = [channels_in, inner, inner, inner, channels_out]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, side in enumerate(sides, start=1):
            layers[f"relu_{number}"] = nn.ReLU()
            layers[f"conv_{number}"] = Conv(widths[number - 1], widths[number], side)
        self.res_path = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, channels_out, H, W] of [B, channels_in, H, W]."""
        out: Tensor = self.id_path(x) + self.gain * self.res_path(x)
        return out


class DalleEncoder(nn.Module):
    """Pixels to logits over the codes.

    Args:
        config: sizes.
    """

    def __init__(self, config: DalleConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.hidden, *(config.hidden << group for group in range(NUM_GROUPS))]
        resize = nn.MaxPool2d(2)
        self.blocks = nn.Sequential(
            OrderedDict(
                input=Conv(3, config.hidden, 7),
                **_groups(widths, config=config, sides=(3, 3, 3, 1), resize=resize),
                output=_output(widths[-1], config.vocab_size),
            )
        )

    def forward(self, mapped: Tensor) -> Tensor:
        """Return logits [B, V, H//8, W//8] of mapped pixels [B, 3, H, W]; the code is the largest.

        What is left of a side after each halving is dropped: 50 x 37 pixels give 6 x 4 codes.
        """
        logits: Tensor = self.blocks(mapped)
        return logits


class DalleDecoder(nn.Module):
    """Codes to the statistics of pixels.

    Args:
        config: sizes.
    """

    def __init__(self, config: DalleConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.first, *(config.hidden << group for group in reversed(range(NUM_GROUPS)))]
        resize = nn.Upsample(scale_factor=2, mode="nearest")
        self.blocks = nn.Sequential(
            OrderedDict(
                input=Conv(config.vocab_size, config.first, 1),
                **_groups(widths, config=config, sides=(1, 3, 3, 3), resize=resize),
                output=_output(widths[-1], 6),
            )
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Return [B, 6, 8h, 8w] of codes int64 [B, h, w]: logits of three channels, then their log-scales."""
        first, *others = self.blocks.children()
        assert isinstance(first, Conv), "the first layer looks codes up"
        # A 1 x 1 convolution of one-hot codes picks one column of its weight for each code.
        x = functional.embedding(codes, first.w[:, :, 0, 0].T).permute(0, 3, 1, 2)
        x = x + first.b[:, None, None]
        for layer in others:
            x = layer(x)
        return x

    def images(self, codes: Tensor) -> Tensor:
        """Return pixels [B, 3, 8h, 8w] in 0 to 1 of codes int64 [B, h, w]."""
        return unmap_pixels(self(codes)[:, :3].sigmoid())


def _groups(
    widths: list[int], *, config: DalleConfig, sides: tuple[int, ...], resize: nn.Module
) -> dict[str, nn.Module]:
    """Return the groups by name; all but the last end by changing the size."""
    groups: dict[str, nn.Module] = {}
    for group in range(1, NUM_GROUPS + 1):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number in range(1, config.num_blocks + 1):
            channels_in = widths[group - 1] if number == 1 else widths[group]
            layers[f"block_{number}"] = Block(channels_in, widths[group], sides=sides, gain=config.gain)
        if group < NUM_GROUPS:
            layers["resize"] = resize
        groups[f"group_{group}"] = nn.Sequential(layers)
    return groups


def _output(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=Conv(channels_in, channels_out, 1)))
