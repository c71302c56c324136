"""SimVTP as it is finetuned to retrieve: two whole encoders, each with all parts of both."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.method import load_exactly
from vfm.trainer.methods.simvtp.network import text_embeddings, text_mean
from vfm.trainer.methods.simvtp.recipe import ModelConfig
from vfm.trainer.models.bert import padding_bias
from vfm.trainer.models.pooled_vit import PooledVit, encoder_state
from vfm.trainer.models.vit import initialize_vit
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.video_text.captions import TextColumn
from vfm.trainer.video_text.model import VideoTextModel
from vfm.trainer.vit_backbone import is_vector, layers_above, vit_config

_WORDS = "text_embeddings."
_TOWERS = ("video_encoder", "text_encoder")
_UNUSED = ("video_encoder.text_embeddings.", "text_encoder.patch_embed.")


class Tower(PooledVit):
    """One of the two encoders: tokens of a clip or words of a caption to one vector.

    Args:
        recipe: of finetuning.
        vocab_size: words.
        pad_id: stands behind captions that are shorter than others.
    """

    def __init__(self, recipe: Recipe, *, vocab_size: int, pad_id: int) -> None:
        model: ModelConfig = recipe.model
        super().__init__(vit_config(recipe, tubelet=model.tubelet))
        self.mean = model.text_mean
        self.text_embeddings = text_embeddings(model, vocab_size=vocab_size, pad_id=pad_id)

    def of_text(self, ids: Tensor, is_text: Tensor) -> Tensor:
        """Return float [B, D] of captions; see `VideoTextModel.text_vectors`."""
        x, bias = self.text_embeddings(ids), padding_bias(is_text)
        for block in self.blocks:
            x = block(x, bias)
        out: Tensor = self.fc_norm(text_mean(x, is_text, mean=self.mean))
        return out


class DualEncoder(VideoTextModel):
    """One encoder for clips and one for captions, under the keys of a released checkpoint.

    Each has the parts of the other too, which are neither used nor learned: the released files hold them.

    Args:
        recipe: of finetuning.
        vocab_size: words.
        pad_id: stands behind captions that are shorter than others.
    """

    def __init__(self, recipe: Recipe, *, vocab_size: int, pad_id: int = 0) -> None:
        super().__init__()
        self.dim = recipe.model.dim
        self.video_encoder = Tower(recipe, vocab_size=vocab_size, pad_id=pad_id)
        self.text_encoder = Tower(recipe, vocab_size=vocab_size, pad_id=pad_id)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not name.startswith(_UNUSED))

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip."""
        return self.video_encoder.config.num_tokens

    def video_vectors(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float [B, D] of `clip`, uint8 [B, T, S, S, 3]."""
        out: Tensor = self.video_encoder(normalize(to_float(batch["clip"])))
        return out

    def text_vectors(self, ids: Tensor, is_text: Tensor) -> Tensor:
        """Return float [B, D]; with ``model.text_mean=all`` of a caption as it is padded here."""
        return self.text_encoder.of_text(ids, is_text)

    def load_pretrained(self, state: Mapping[str, Tensor], *, start: Recipe | None = None) -> None:
        """Take both encoders of a finetuning state, or the one of a pretraining state twice.

        Their last norms stay new in the latter case, as in the released code.

        Raises:
            UsageError: the state is of other encoders, or knows other words.
        """
        del start
        finetuned = {name.removeprefix("backbone."): tensor for name, tensor in state.items()}
        if any(name.startswith(_TOWERS) for name in finetuned):
            load_exactly(self, finetuned)
            return
        found = encoder_state(state) | {n: t for n, t in state.items() if n.startswith(_WORDS)}
        new = {name: tensor for name, tensor in self.state_dict().items() if ".fc_norm." in name}
        towers = {f"{tower}.{name}": tensor for tower in _TOWERS for name, tensor in found.items()}
        load_exactly(self, new | towers)

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors."""
        return is_vector(name)

    def layers_above(self, name: str) -> int:
        """Return which layer a parameter is in, counted from the output; words are with the tubelets."""
        inner = name.partition(".")[2]
        num_blocks = len(self.video_encoder.blocks)
        return num_blocks + 1 if inner.startswith(_WORDS) else layers_above(inner, num_blocks=num_blocks)


def build_video_text(recipe: Recipe, column: TextColumn) -> DualEncoder:
    """Return the encoders of a recipe, their weights drawn from its seed; both begin alike."""
    model = DualEncoder(recipe, vocab_size=column.vocab_size, pad_id=column.pad_id)
    for tower in (model.video_encoder, model.text_encoder):
        generator = torch.Generator().manual_seed(recipe.train.seed)
        initialize_vit(tower, generator=generator, linear="truncated")
        tower.text_embeddings.initialize(generator)
    return model
