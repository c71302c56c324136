"""What pretraining puts on the transformer: a head that predicts codes and one that places clips."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.trainer.methods.vimpac.layers import LAYER_NORM_EPS
from vfm.trainer.methods.vimpac.recipe import ModelConfig


class MlmHead(nn.Module):
    """Linear, exact GELU, LayerNorm, then the embedding table as classifier, special ids included.

    `bias` and `decoder.bias` are one tensor under two keys, and `decoder.weight` is the embedding table: the
    official state has all of them.

    Args:
        embedding: the table to share.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        rows, dim = embedding.weight.shape
        self.bias = nn.Parameter(torch.zeros(rows))
        self.transform = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim, eps=LAYER_NORM_EPS))
        self.decoder = nn.Linear(dim, rows)
        self.decoder.weight = embedding.weight
        self.decoder.bias = self.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """Return logits, float32 [..., V + 5], of hidden vectors [..., D].

        They are computed in float32 under autocast too: bfloat16 gives one value to neighbouring codes, so
        that the largest of 8197 logits is a tie in 3 % of places.
        """
        transformed = self.transform(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            return cast(Tensor, self.decoder(transformed.float()))


class ClsHead(nn.Module):
    """Linear layers with batch normalisation and ReLU between them; the last one has no bias and no norm.

    In one process this is BatchNorm1d over all clips of the micro-batch. Under DDP on GPUs the loop turns it
    into SyncBatchNorm, as the reference has it; on CPUs it stays local, because SyncBatchNorm refuses CPU
    tensors.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        layers = config.nce_proj_layers
        self.mlp = nn.ModuleDict()
        for i in range(layers):
            is_last = i == layers - 1
            width_in = config.dim if i == 0 else config.nce_proj_dim
            width_out = config.nce_out_dim if is_last else config.nce_proj_dim
            self.mlp[f"linear_{i}"] = nn.Linear(width_in, width_out, bias=not is_last)
            if not is_last:
                self.mlp[f"bn_{i}"] = nn.BatchNorm1d(width_out)

    def forward(self, cls: Tensor) -> Tensor:
        """Return the projections [B, nce_out_dim] of CLS vectors [B, D]; their length is not one yet."""
        for name, layer in self.mlp.items():
            cls = layer(cls)
            if name.startswith("bn_"):
                cls = functional.relu(cls)
        return cls
