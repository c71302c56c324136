"""A vision transformer of timm as a teacher: features and attention of single frames, as UMT takes them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.shards.errors import UsageError


class TeacherOutput(NamedTuple):
    """What a teacher says of a batch of frames.

    Attributes:
        features: float32 [B, N, K, C], of the last K blocks, shallow to deep, each vector of unit length.
        attention: float32 [B, N], how much the whole frame attends to each patch.
    """

    features: Tensor
    attention: Tensor


class VitTeacher(nn.Module):
    """Patch tokens of the last blocks, and the attention of the last one.

    Attributes:
        num_levels: K.
        dim: C.
    """

    _model: Any  # whose parts torch types as any module or tensor

    def __init__(
        self, model: nn.Module, *, num_levels: int, level_interval: float = 1, projects: bool
    ) -> None:
        """Take a ViT of timm, which is from now on evaluated only.

        Args:
            model: with ``blocks``, ``norm`` and ``forward_intermediates``.
            num_levels: how many blocks are matched, the last one among them.
            level_interval: blocks from one of them to the next; where it is no whole number, rounded towards
                the last block, as the published code does.
            projects: whether its head is a projection, as CLIP's, through which tokens are taken too.

        Raises:
            UsageError: it has fewer blocks, or nothing that attends to the patches of a frame.
        """
        super().__init__()
        self._model = model.requires_grad_(False).eval()
        num_blocks = len(self._model.blocks)
        steps = [int(level * level_interval) for level in range(num_levels)]
        if not 0 <= steps[-1] < num_blocks or len(set(steps)) < num_levels:
            apart = "" if level_interval == 1 else f", {level_interval:g} blocks apart"
            raise UsageError(
                f"The teacher has {num_blocks} blocks, so it cannot give {num_levels} levels{apart}."
            )
        self._blocks = sorted(num_blocks - 1 - step for step in steps)
        self._has_class_token = getattr(self._model, "cls_token", None) is not None
        if not self._has_class_token and getattr(self._model, "attn_pool", None) is None:
            raise UsageError("The teacher has neither a class token nor attention pooling: choose another.")
        self._projects = projects
        self._model.blocks[-1].attn.fused_attn = False  # which computes no attention that one could look at
        self.num_levels = num_levels
        self.dim: int = self._model.head.out_features if projects else self._model.embed_dim

    def forward(self, images: Tensor) -> TeacherOutput:
        """Return features and attention of images, float [B, 3, S, S], normalized."""
        with _watched(self._model.blocks[-1].attn.attn_drop) as seen:
            levels: list[Tensor] = self._model.forward_intermediates(
                images, indices=self._blocks, norm=True, output_fmt="NLC", intermediates_only=True
            )
        levels = [self._finished(level) for level in levels]
        attention = self._of_class_token(seen[0]) if self._has_class_token else self._of_pooling(levels[-1])
        features = torch.stack([self._projected(level) for level in levels], dim=2).float()
        return TeacherOutput(features / features.norm(dim=-1, keepdim=True), attention.float())

    def _finished(self, level: Tensor) -> Tensor:
        """Apply the norm that some models have behind their pooling in place of the one before it."""
        is_last_norm = isinstance(self._model.norm, nn.Identity)
        normed: Tensor = self._model.fc_norm(level) if is_last_norm else level
        return normed

    def _projected(self, level: Tensor) -> Tensor:
        projected: Tensor = self._model.head(level) if self._projects else level
        return projected

    def _of_class_token(self, attention: Tensor) -> Tensor:
        """Return the row of the class token over the patches, [B, N], of [B, heads, P + N, P + N]."""
        return attention[:, :, 0, self._model.num_prefix_tokens :].float().mean(1)

    def _of_pooling(self, tokens: Tensor) -> Tensor:
        """Return the attention of the pooling query over the patches, [B, N], of tokens [B, N, D]."""
        pool = self._model.attn_pool
        if pool.pos_embed is not None:
            tokens = tokens + pool.pos_embed.unsqueeze(0).to(tokens.dtype)
        keys = pool.kv(tokens).unflatten(-1, (2, pool.num_heads, pool.head_dim))[:, :, 0].transpose(1, 2)
        queries = pool.q(pool.latent).unflatten(-1, (pool.num_heads, pool.head_dim)).transpose(1, 2)
        scores = (pool.q_norm(queries) * pool.scale) @ pool.k_norm(keys).transpose(-2, -1)
        attention: Tensor = scores.float().softmax(dim=-1).mean(dim=(1, 2))
        return attention


def normalized(frames: Tensor, *, mean: Sequence[float], std: Sequence[float], input_px: int) -> Tensor:
    """Return frames as a teacher takes them, float32 [B, 3, input_px, input_px].

    They are resized after they were normalized, bicubic without antialiasing and without clamping, as UMT
    does where teacher and student see different sizes (``engine_for_pretraining_umt``).

    Args:
        frames: uint8 [B, S, S, 3], RGB.
        mean: of each channel, for values in [0, 1].
        std: the same.
        input_px: side of what is returned.
    """
    shape = (1, 3, 1, 1)
    means, stds = (torch.tensor(values, device=frames.device).view(shape) for values in (mean, std))
    images = (frames.permute(0, 3, 1, 2).float().div(255) - means) / stds
    if images.shape[-1] == input_px:
        return images
    return functional.interpolate(images, size=(input_px, input_px), mode="bicubic", align_corners=False)


@contextmanager
def _watched(dropout: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that receives what the dropout behind an attention's softmax is given."""
    seen: list[Tensor] = []
    handle = dropout.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()
