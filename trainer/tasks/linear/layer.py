"""The linear probe: a batch norm without weights and a linear layer (He et al. 2022, MAE, appendix A.1)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.trainer.tasks.linear.parts import Parts
from vfm.trainer.tasks.linear.probe import Probe

_STD = 0.01
_EPS = 1e-6


class LinearProbe(Probe):
    """Linear layers on the encoder's features; keys `norm.*`, `heads.K.*` and `partial_heads.K.*`.

    All layers share one norm, which learns nothing but the mean and deviation of each feature: those of the
    left-out fifth count in it, their classes do not.

    Args:
        parts: what it is made of.
    """

    def __init__(self, parts: Parts) -> None:
        backbone, num_classes = parts.backbone, parts.num_classes

        def head(generator: torch.Generator) -> nn.Module:
            layer = nn.Linear(backbone.dim, num_classes)
            nn.init.trunc_normal_(layer.weight, std=_STD, generator=generator)
            nn.init.zeros_(layer.bias)
            return layer

        super().__init__(parts, make_head=head)
        self.norm = nn.BatchNorm1d(backbone.dim, eps=_EPS, affine=False)

    def see(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the normalised features, float [B, D].

        Raises:
            UsageError: it learns, and the batch is one sample, which has no deviation.
        """
        with torch.no_grad():
            features = self.backbone.features(batch)
        if self.training and len(features) < 2:
            raise UsageError(
                "The linear probe normalizes over the samples that are computed at once, and that is 1: give "
                "--batch-size 2 or more for each rank, and train.micro_batch_size too where it is set."
            )
        seen: Tensor = self.norm(features.float())
        return seen
