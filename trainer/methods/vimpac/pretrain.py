"""VIMPAC pretraining: one transformer, masked codes and contrast between two clips of a video."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.method import Method
from vfm.trainer.methods.vimpac.loss import mlm_loss, nce_loss
from vfm.trainer.methods.vimpac.mask import NOT_PREDICTED
from vfm.trainer.methods.vimpac.model import VimpacBackbone, initialize_linears, pad_id
from vfm.trainer.methods.vimpac.network import PretrainingNetwork
from vfm.trainer.methods.vimpac.positions import stretch_positions
from vfm.trainer.methods.vimpac.reader import (
    KIND,
    PretrainReader,
    grid_in,
    read_clips,
    read_codes,
    vocab_size_of,
)
from vfm.trainer.methods.vimpac.recipe import ModelConfig, Objective, resolve
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe


class Vimpac(PretrainingNetwork, Method):
    """The network and its loss.

    Args:
        config: a resolved model configuration.
        objective: masks and loss weights.
        prepare: makes the samples.
    """

    def __init__(self, config: ModelConfig, *, objective: Objective, prepare: PretrainReader) -> None:
        super().__init__(config)
        self.objective = objective
        self.prepare = prepare

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, its parts `mlm_loss` and `nce_loss`, and the shares `mlm_accuracy` and `mask_ratio`.

        Args:
            batch: `codes`, int64 [B, 2, L, H, W] with MASK where a code is to be predicted, and `labels`,
                int64 of the same shape: the code there, -100 elsewhere.
        """
        codes, labels = (_first_clips_first(batch[name]) for name in ("codes", "labels"))
        masked, has_pad = self._survey(codes, labels)
        rows = torch.cat([self.backbone.cls_rows(codes), self.backbone.code_rows(masked)])
        cls, hidden = self.backbone.encode(codes, rows=rows, has_pad=has_pad).tensor_split([len(codes)])
        wanted = labels.flatten()[masked]
        logits = self.mlm_head(hidden)
        mlm = mlm_loss(logits, wanted)
        nce = self._nce(cls)
        return {
            "loss": self.objective.mlm_weight * mlm + self.objective.nce_weight * nce,
            "mlm_loss": mlm.detach(),
            "nce_loss": nce.detach(),
            "mlm_accuracy": (logits.detach().argmax(1) == wanted).float().sum() / max(len(wanted), 1),
            "mask_ratio": mlm.new_full((), len(wanted) / labels.numel()),
        }

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a sample's two clips, masked ones too."""
        return 2 * self.backbone.num_tokens

    def _nce(self, cls: Tensor) -> Tensor:
        projected: Tensor = self.cls_head(cls)
        if self.objective.nce_weight == 0.0:
            return 0.0 * projected.sum()  # DistributedDataParallel waits for a gradient of every parameter
        return nce_loss(projected, temperature=self.objective.temperature)

    def _survey(self, codes: Tensor, labels: Tensor) -> tuple[Tensor, bool]:
        """Find the masked codes and whether there is PAD, at the price of one wait for the GPU.

        Knowing how many codes are masked lets the head score them alone, about one in seven. The wait comes
        before the step's own work is queued, so the GPU idles for no longer than it takes to launch the first
        kernels.
        """
        is_masked = labels.flatten() != NOT_PREDICTED
        num_pad = (codes == pad_id(self.backbone.vocab_size)).sum()
        num_masked, num_pads = torch.stack([is_masked.sum(), num_pad]).tolist()
        return torch.nonzero_static(is_masked, size=int(num_masked)).flatten(), num_pads > 0

    def logits(self, codes: Tensor) -> Tensor:
        """Return code logits [B, L, H, W, V + 5] at every position of `codes`, int64 [B, L, H, W]."""
        logits: Tensor = self.mlm_head(self.backbone(codes)[1])
        return logits

    def initialize(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight as the reference does."""
        initialize_linears(self, generator, std=self.backbone.config.init_std)
        self.backbone.initialize(generator)

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Take all weights of another run; positions stretch to this grid and clip length.

        So the second stage at 256 px goes on from the first at 128 px, as in the reference, which stretches
        the optimizer's moments too; here these start afresh.
        """
        super().load_pretrained(stretch_positions(state, like=self.state_dict()))

    def no_weight_decay(self, name: str) -> bool:
        """Return whether the reference leaves this parameter undecayed.

        The names are those of the backbone; so the norm of the code head and the batch norms are decayed.
        """
        return self.backbone.no_weight_decay(name)


def _first_clips_first(clips: Tensor) -> Tensor:
    """[B, 2, ...] to [2 B, ...]: the first clips of all videos, then the second ones."""
    return clips.transpose(0, 1).flatten(0, 1)


def build_method(recipe: Recipe, dataset: Dataset) -> Vimpac:
    """Return the method of a recipe, its weights drawn from the recipe's seed.

    Raises:
        UsageError: a video could be contrasted with itself.
    """
    if recipe.objective.nce_weight > 0.0 and not recipe.train.drop_last:
        raise UsageError(
            "train.drop_last is false, so that a batch across two epochs can hold a video twice, which would "
            "be contrasted with itself: leave train.drop_last true, or set objective.nce_weight=0."
        )
    config = _resolved(recipe, dataset)
    read = read_clips if recipe.train.validate_knn else read_codes
    prepare = PretrainReader(
        reader=read(recipe, dataset),
        clip_len=recipe.data.clip_len,
        stride=recipe.data.window_stride,
        objective=recipe.objective,
    )
    method = Vimpac(config, objective=recipe.objective, prepare=prepare)
    method.initialize(torch.Generator().manual_seed(recipe.train.seed))
    return method


def build_encoder(recipe: Recipe, dataset: Dataset) -> VimpacBackbone:
    """Return the backbone of a recipe alone, its weights drawn from the recipe's seed."""
    backbone = VimpacBackbone(_resolved(recipe, dataset))
    backbone.initialize(torch.Generator().manual_seed(recipe.train.seed))
    return backbone


def _resolved(recipe: Recipe, dataset: Dataset) -> ModelConfig:
    column = column_of_kind(recipe, KIND)
    model: ModelConfig = recipe.model
    return resolve(
        model,
        vocab_size=vocab_size_of(column, dataset),
        clip_len=recipe.data.clip_len,
        grid=grid_in(column, dataset),
    )
