"""The network on both sides of a codebook: frames to feature vectors at stride 8, and back."""

import torch
from torch import Tensor, nn

STRIDE = 8
_FINE_STRIDE = 4
_RGB = 3

# Shapes: N frames, H x W pixels, h = H/8 rows and w = W/8 columns of vectors, D numbers in a vector.


class Autoencoder(nn.Module):
    """Convolutions alone, so any frame whose sides are multiples of 8 will do.

    A first convolution reads 4x4 patches at once (pixel unshuffle), which is where a network at full
    resolution spends most of its time. No normalisation: it was slower to learn in the few minutes there
    are, and makes a code depend on the whole frame.

    Args:
        fine_channels: of the layers at stride 4.
        coarse_channels: of the layers at stride 8.
        code_dim: numbers in a vector.
    """

    def __init__(self, *, fine_channels: int, coarse_channels: int, code_dim: int) -> None:
        super().__init__()
        fine, coarse, patch = fine_channels, coarse_channels, _RGB * _FINE_STRIDE**2
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(_FINE_STRIDE),
            nn.Conv2d(patch, fine, 3, padding=1),
            Residual(fine),
            nn.Conv2d(fine, coarse, 2, stride=2),
            Residual(coarse),
            nn.SiLU(),
            nn.Conv2d(coarse, code_dim, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(code_dim, coarse, 3, padding=1),
            Residual(coarse),
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            Residual(fine),
            nn.SiLU(),
            nn.Conv2d(fine, patch, 3, padding=1),
            nn.PixelShuffle(_FINE_STRIDE),
        )
        # Channels last is what the convolutions of oneDNN and cuDNN want, and how frames arrive.
        self.to(memory_format=torch.channels_last)

    def encode(self, pixels: Tensor) -> Tensor:
        """Return vectors [N, D, h, w] of pixels [N, 3, H, W] in -1..1."""
        vectors: Tensor = self.encoder(pixels)
        return vectors

    def decode(self, vectors: Tensor) -> Tensor:
        """Return pixels [N, 3, H, W], about -1..1, of vectors [N, D, h, w]."""
        pixels: Tensor = self.decoder(vectors)
        return pixels

    def initialize(self, generator: torch.Generator) -> None:
        """Draw all weights: He et al. 2015; residual branches start at zero, the last layer near it."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Residual):
                nn.init.zeros_(module.last.weight)
        to_patches = self.decoder[-2]
        assert isinstance(to_patches, nn.Conv2d)
        nn.init.normal_(to_patches.weight, std=0.02, generator=generator)


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of ``x``."""
        y: Tensor = self.last(self.activation(self.first(self.activation(x))))
        return x + y


def to_pixels(frames: Tensor) -> Tensor:
    """Return float32 [N, 3, H, W] in -1..1, channels last, of uint8 frames [N, H, W, 3]."""
    return frames.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_frames(pixels: Tensor) -> Tensor:
    """Return uint8 frames [N, H, W, 3] of pixels [N, 3, H, W]; what lies outside -1..1 is cut off."""
    levels = (pixels.float().clamp(-1, 1) + 1) * 127.5
    return levels.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
