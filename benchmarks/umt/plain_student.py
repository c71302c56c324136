"""UMT's student as it is written plainly: every patch embedded by the convolution, attention spelled out."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional

from vfm.trainer.models import vit


class PlainAttention(vit.Attention):
    """The same attention, its matrices one after the other."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `vit.Attention`."""
        assert mask is None
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        qkv = functional.linear(x, self.qkv.weight, bias)
        query, key, value = qkv.view(*x.shape[:2], 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        out: Tensor = self.proj((weights.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return out


@contextmanager
def plain_student() -> Iterator[None]:
    """Embed every patch by the convolution and spell attention out, in the block."""
    embed = vit.PatchEmbed.forward

    def every_patch(self: vit.PatchEmbed, clips: Tensor, *, visible: Tensor | None = None) -> Tensor:
        tokens = embed(self, clips)
        return tokens if visible is None else vit.take(tokens, visible)

    with (
        mock.patch.object(vit.PatchEmbed, "forward", every_patch),
        mock.patch.object(vit.Attention, "forward", PlainAttention.forward),
    ):
        yield
