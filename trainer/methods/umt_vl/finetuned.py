"""UMT's second stage as it is finetuned to retrieve: no heads for a teacher or for words."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.method import load_exactly
from vfm.trainer.methods.umt_vl.finetune import MatchConfig
from vfm.trainer.methods.umt_vl.negatives import draw_pairs
from vfm.trainer.methods.umt_vl.network import (
    PairNetwork,
    VisionEncoder,
    bert_config,
    initialize_joint,
    with_retrieval_names,
)
from vfm.trainer.models.bert import Bert
from vfm.trainer.models.vit import initialize_vit
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.retrieve import RetrieveConfig
from vfm.trainer.video_text.captions import CAPTION_ID, TextColumn
from vfm.trainer.video_text.contrast import soft_contrast_loss
from vfm.trainer.video_text.losses import match_loss
from vfm.trainer.video_text.model import MatchingModel
from vfm.trainer.vit_backbone import is_vector, layers_above


class Retriever(PairNetwork, MatchingModel):
    """Encoders of videos and of captions, and layers that see both, under the keys of a released checkpoint.

    Args:
        recipe: of finetuning.
        vocab_size: words.
        pad_id: stands behind captions that are shorter than others.
    """

    def __init__(self, recipe: Recipe, *, vocab_size: int, pad_id: int = 0) -> None:
        super().__init__(recipe.model, temperature=recipe.objective.temperature)
        self.dim = recipe.model.proj_dim
        self.vision_encoder = VisionEncoder(recipe)
        self.text_encoder = Bert(bert_config(recipe.model, vocab_size=vocab_size, pad_id=pad_id))

    @property
    def vision(self) -> VisionEncoder:
        """Return what sees clips."""
        return self.vision_encoder

    @property
    def bert(self) -> Bert:
        """Return what reads captions."""
        return self.text_encoder

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip."""
        return self.vision_encoder.encoder.config.num_tokens

    def video_tokens(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float [B, N, D] of `clip`, uint8 [B, T, S, S, 3]."""
        return self.tokens(normalize(to_float(batch["clip"])))

    def video_vectors(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean of the vectors of frames, each of length 1: float [B, dim]."""
        return self._vectors(self.video_tokens(batch), num_frames=batch["clip"].shape[1])

    def text_tokens(self, ids: Tensor, is_text: Tensor) -> Tensor:
        """Return float [B, L, C] of captions, which have not seen a video."""
        return self.bert.read(ids, is_text)

    def text_vectors(self, ids: Tensor, is_text: Tensor) -> Tensor:
        """Return float [B, dim], each of length 1."""
        return self.text_units(self.bert.read(ids, is_text))

    def similarity(self, text: Tensor, video: Tensor) -> Tensor:
        """Return the mean over frames of the cosine of every text and every video, float32 [T, V]."""
        return text.float() @ video.float().T

    def temperature(self, config: RetrieveConfig) -> float:
        """Return what has been learned, whatever the recipe began with."""
        del config
        return float(self.temp.detach())

    def pair_losses(
        self, batch: Mapping[str, Tensor], *, ids: Tensor, is_text: Tensor, config: RetrieveConfig
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the contrast and the matching loss, their sum, and the similarities of the batch."""
        assert isinstance(config, MatchConfig), "its recipes have no other"
        if self.training:
            self.clamp_temperature()
        tokens, read = self.video_tokens(batch), self.bert.read(ids, is_text)
        video, text = self._vectors(tokens, num_frames=batch["clip"].shape[1]), self.text_units(read)
        contrast = soft_contrast_loss(
            text,
            video,
            temperature=self.temp,
            caption_ids=batch[CAPTION_ID],
            across_ranks=config.across_ranks,
        )
        similarity = self.similarity(text.detach(), video.detach())
        pairs = draw_pairs(
            similarity / self.temp.detach(), caption_ids=batch[CAPTION_ID], negatives=config.negatives
        )
        logits = self.match_logits(
            read[pairs.captions], is_text[pairs.captions], tokens=tokens, which=pairs.videos
        )
        matching, is_right = match_loss(logits, pairs.is_match)
        losses = {
            "loss": contrast + matching,
            "vtc_loss": contrast.detach(),
            "vtm_loss": matching.detach(),
            "vtm_accuracy": is_right,
        }
        return losses, similarity

    def _vectors(self, tokens: Tensor, *, num_frames: int) -> Tensor:
        return self.video_units(tokens, num_parts=num_frames).mean(1)

    def load_pretrained(self, state: Mapping[str, Tensor], *, start: Recipe | None = None) -> None:
        """Take all of a finetuning state, or of a pretraining state what is not of its heads.

        Raises:
            UsageError: the state is of other encoders, or knows other words.
        """
        del start
        own = {name.removeprefix("backbone."): tensor for name, tensor in state.items()}
        load_exactly(self, with_retrieval_names(own))

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors, but not the temperature."""
        return is_vector(name)

    def layers_above(self, name: str) -> int:
        """Return which layer a parameter of the student is in, counted from the output; others are on top."""
        inner = name.removeprefix("vision_encoder.encoder.")
        return 0 if inner == name else layers_above(inner, num_blocks=len(self.vision_encoder.encoder.blocks))


def build_video_text(recipe: Recipe, column: TextColumn) -> Retriever:
    """Return the network of a recipe of finetuning, its weights drawn from the recipe's seed."""
    model = Retriever(recipe, vocab_size=column.vocab_size, pad_id=column.pad_id)
    generator = torch.Generator().manual_seed(recipe.train.seed)
    initialize_vit(model.vision_encoder, generator=generator)
    initialize_joint(model, generator)
    return model
