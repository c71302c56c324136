"""What turns frames into codes and codes into frames, whoever trained it."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError

# How many frames a network is given at once, always: with another number a convolution may add up in
# another order, and a code that lay near two others may fall to the other.
_BLOCK_FRAMES = 8


class Tokenizer(nn.Module, ABC):
    """Turns frames into a grid of codes, and codes back into frames.

    On a CPU the codes of a frame do not depend on the frames beside it.

    Attributes:
        format: what it is called where a column keeps it.
        weights_sha256: of what its codes follow from, None before it was saved or loaded.
    """

    format: ClassVar[str]
    weights_sha256: str | None

    @property
    @abstractmethod
    def name(self) -> str:
        """Its codes become the column ``vq.NAME``."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """How many codes there are."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Pixels from one code to the next."""

    @property
    @abstractmethod
    def default_crop_px(self) -> int:
        """Side of the frames it was made for."""

    @abstractmethod
    def encode_block(self, frames: Tensor) -> Tensor:
        """Return codes int64 [B, h, w] of uint8 frames [B, H, W, 3] that lie where the weights do."""

    @abstractmethod
    def decode_block(self, codes: Tensor) -> Tensor:
        """Return uint8 frames [B, H, W, 3] of codes int64 [B, h, w] that lie where the weights do."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what is needed to look at the codes later; a file called config.json comes last."""

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        first: Tensor = next(iter(self.state_dict().values()))
        return first.device

    @torch.inference_mode()
    def encode(self, frames: Tensor) -> Tensor:
        """Return the codes of frames.

        Args:
            frames: uint8 [N, H, W, 3], RGB; H and W are multiples of ``stride``.

        Returns:
            int64 [N, H/stride, W/stride], 0 to ``vocab_size - 1``, on the tokenizer's device.

        Raises:
            UsageError: a side is not a multiple of ``stride``.
        """
        for side_px in frames.shape[1:3]:
            check_side(side_px, stride=self.stride)
        return torch.cat([self._encode_padded(block) for block in torch.split(frames, _BLOCK_FRAMES)])

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Return uint8 frames [N, H, W, 3] of codes, int64 [N, h, w]."""
        device = self.device
        return torch.cat([self.decode_block(block.to(device)) for block in torch.split(codes, _BLOCK_FRAMES)])

    def _encode_padded(self, block: Tensor) -> Tensor:
        num_missing = _BLOCK_FRAMES - len(block)
        filled = nn.functional.pad(block, (0, 0, 0, 0, 0, 0, 0, num_missing))
        return self.encode_block(filled.to(self.device))[: len(block)]


def check_side(side_px: int, *, stride: int) -> None:
    """Raise a UsageError when a frame of this side cannot be cut into whole codes."""
    if side_px < stride or side_px % stride:
        lower = max(side_px // stride, 1) * stride
        raise UsageError(
            f"A frame side of {side_px} px cannot be cut into codes of {stride} px: "
            f"use {lower} or another multiple of {stride}."
        )
