"""UMT's student: the outputs of several blocks at the visible tokens, each led into the teacher's space.

Li et al. 2023, arXiv 2303.16058, section 3.2; names and rules of the published checkpoints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.models.positions import sinusoid_table
from vfm.trainer.models.vit import LAYER_NORM_EPS, Encoder, VitConfig

Norm = Literal["l2", "none"]
Distance = Literal["l2", "mse", "smooth_l1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignConfig:
    """Which blocks are compared with the teacher, and in which space.

    Attributes:
        teacher_dim: channels of the teacher's output.
        num_levels: how many blocks.
        level_interval: blocks from one to the next, counted from the last.
        norm: whether the outputs are brought to length 1.
        eps: of the norms behind the projections.
    """

    teacher_dim: int = 512
    num_levels: int = 6
    level_interval: float = 1
    norm: Norm = "l2"
    eps: float = LAYER_NORM_EPS

    def blocks(self, depth: int) -> list[int]:
        """Return the numbers of the blocks compared, ascending: the shallowest is the first level."""
        return sorted(depth - 1 - int(level * self.level_interval) for level in range(self.num_levels))


class AlignHead(nn.Module):
    """Projects one level into the teacher's space."""

    def __init__(self, dim: int, config: AlignConfig) -> None:
        super().__init__()
        self.length = config.norm
        self.head = nn.Linear(dim, config.teacher_dim)
        self.norm = nn.LayerNorm(config.teacher_dim, eps=config.eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, N, teacher_dim] of [B, N, D]."""
        out: Tensor = self.norm(self.head(x))
        return to_unit(out) if self.length == "l2" else out


class DistilledLevels(nn.Module):
    """Encoder and one head for each level.

    Args:
        config: sizes of the encoder.
        align: what is compared.
    """

    clip_positions: Tensor

    def __init__(self, config: VitConfig, align: AlignConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.levels = align.blocks(config.depth)
        table = sinusoid_table(config.num_tokens, config.dim)
        self.register_buffer("clip_positions", table, persistent=False)
        self.clip_decoder = nn.ModuleList(AlignHead(config.dim, align) for _ in self.levels)

    def forward(self, clips: Tensor, visible: Tensor) -> Tensor:
        """Return what `align` does."""
        return self.align(clips, visible)

    def align(self, clips: Tensor, visible: Tensor) -> Tensor:
        """Return float [K, B, N_visible, teacher_dim], the shallowest level first.

        Args:
            clips: float [B, 3, T, H, W], normalised.
            visible: int64 [B, N_visible], the tokens that are seen, ascending.
        """
        return self.project(self.encoder.levels(clips, visible=visible, blocks=self.levels), visible)

    def project(self, found: Sequence[Tensor], visible: Tensor) -> Tensor:
        """Return each level [B, N_visible, D] in the teacher's space; see `align`."""
        positions = self.clip_positions[visible]
        return torch.stack(
            [head(level + positions) for head, level in zip(self.clip_decoder, found, strict=True)]
        )


def to_unit(x: Tensor) -> Tensor:
    """Return vectors [..., C] at length 1."""
    return functional.normalize(x, dim=-1, eps=0.0)


def align_loss(student: Tensor, teacher: Tensor, *, norm: Norm, distance: Distance) -> Tensor:
    """Return the distance of student and teacher, the mean over all vectors [..., C] (equation 2).

    Args:
        student: vectors; brought to length 1 if ``norm`` says so.
        teacher: vectors of the same shape, treated likewise.
        norm: ``l2`` or ``none``.
        distance: ``l2`` is 2 - 2·<student, teacher>; the others are the mean over channels as well.
    """
    if norm == "l2":
        student, teacher = to_unit(student), to_unit(teacher)
    match distance:
        case "l2":
            return (2 - 2 * (student * teacher).sum(-1)).mean()
        case "mse":
            return functional.mse_loss(student, teacher)
        case "smooth_l1":
            return functional.smooth_l1_loss(student, teacher)
