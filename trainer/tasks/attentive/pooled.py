"""The attentive probe: one vector of all tokens, then a linear layer (Bardes et al. 2024, V-JEPA)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.trainer.models.attentive_pooler import AttentivePooler
from vfm.trainer.recipes.probe import AttentiveConfig
from vfm.trainer.tasks.linear.parts import Parts
from vfm.trainer.tasks.linear.probe import Probe

_STD = 0.02
_HEAD_DIM = 64  # channels of a head, where nothing else is said


class AttentiveProbe(Probe):
    """Attentive poolers with a linear layer each, on the encoder's tokens; keys as in `Probe`.

    Args:
        parts: what it is made of.
        config: the poolers' sizes.
        num_heads: of attention; None is one for 64 channels.

    Raises:
        UsageError: channels do not divide among the heads.
    """

    def __init__(self, parts: Parts, *, config: AttentiveConfig, num_heads: int | None) -> None:
        dim, num_classes = parts.backbone.dim, parts.num_classes
        num_heads = num_heads or max(dim // _HEAD_DIM, 1)
        if dim % num_heads:
            raise UsageError(
                f"objective.num_heads is {num_heads} and the encoder has {dim} channels, which do not divide "
                "among them: change it with `--set objective.num_heads=...`."
            )

        def head(generator: torch.Generator) -> nn.Module:
            pooler = AttentivePooler(dim, num_heads=num_heads, depth=config.depth, mlp_ratio=config.mlp_ratio)
            pooler.initialize(generator)
            layer = nn.Linear(dim, num_classes)
            nn.init.trunc_normal_(layer.weight, std=_STD, generator=generator)
            nn.init.zeros_(layer.bias)
            return nn.Sequential(pooler, layer)

        super().__init__(parts, make_head=head)

    def see(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the encoder's tokens, float [B, N, D]."""
        with torch.no_grad():
            return self.backbone.tokens(batch)
