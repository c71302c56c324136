"""SimVTP pretraining: one encoder reconstructs hidden tubelets and words, and tells which belong together.

The released code encodes a batch four times: clips with captions, clips alone, captions alone, and twice as
many pairs for matching, half of which are the very pairs of the first time. Here these are encoded once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.shards.format.layout import FRAMES
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.data.tube_masked_clips import tube_masked_clips
from vfm.trainer.method import Method
from vfm.trainer.methods.simvtp.network import SimvtpNetwork
from vfm.trainer.methods.simvtp.reader import LABELS, PretrainReader
from vfm.trainer.methods.simvtp.recipe import Objective
from vfm.trainer.models.mae import pixel_targets
from vfm.trainer.models.vit import split_mask
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.video_text.captions import (
    CAPTION_ID,
    IDS,
    NOT_PREDICTED,
    NUM_IDS,
    CaptionReader,
    TextColumn,
    maskable_column,
)
from vfm.trainer.video_text.contrast import check_contrast, contrast_loss, draw_negatives, unit
from vfm.trainer.video_text.losses import hidden_places, match_loss, word_loss
from vfm.trainer.video_text.model import is_text_of
from vfm.trainer.vit_backbone import is_vector

_OF_TEXT = ("text_embeddings.", "text_cls.", "vtm_head.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Clips and their captions, and what of them is hidden.

    Attributes:
        pixels: float [B, 3, T, S, S] in 0..1.
        is_hidden: bool [B, N].
        ids: int64 [B, L], as long as the longest caption, no word of it hidden.
        is_text: bool [B, L], False where padded.
        hidden_words: int64 [K], where words are hidden, counted through ids of all captions.
        caption_ids: int64 [B]; equal where captions are.
    """

    pixels: Tensor
    is_hidden: Tensor
    ids: Tensor
    is_text: Tensor
    hidden_words: Tensor
    caption_ids: Tensor


class Simvtp(SimvtpNetwork, Method):
    """The network and its losses under the keys of a released checkpoint.

    Args:
        recipe: the numbers.
        column: of the captions' ids.
    """

    def __init__(self, recipe: Recipe, *, column: TextColumn) -> None:
        super().__init__(recipe, vocab_size=column.vocab_size, pad_id=column.pad_id)
        self.objective: Objective = recipe.objective
        assert column.mask_id is not None, "refused in build_method"
        self.mask_id = column.mask_id
        self.prepare = PretrainReader(
            clips=tube_masked_clips(recipe),
            captions=CaptionReader(
                column=column, max_ids=self.objective.max_ids, captions=self.objective.captions
            ),
            word_ratio=self.objective.word_ratio,
        )

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]  # a method's
        """Return `loss`, the sum of four parts, these, and the shares of words and matches that are right.

        Args:
            batch: arrays of `PretrainReader`, stacked.
        """
        longest, hidden_words = hidden_places(batch[LABELS], batch[NUM_IDS])
        return self.losses(
            Pairs(
                pixels=to_float(batch["clip"]),
                is_hidden=batch["is_hidden"],
                ids=batch[IDS][:, :longest],
                is_text=is_text_of(batch[NUM_IDS], length=longest),
                hidden_words=hidden_words,
                caption_ids=batch[CAPTION_ID],
            )
        )

    def losses(self, pairs: Pairs, *, negatives: Tensor | None = None) -> dict[str, Tensor]:
        """Return what `forward` does.

        Args:
            pairs: at least two.
            negatives: int64 [B], for each caption the clip that it is said not to belong to, -1 for none;
                drawn unless given.
        """
        visible, hidden = split_mask(pairs.is_hidden)
        video = self.encoder.embed(normalize(pairs.pixels), visible=visible)
        masked = pairs.ids.flatten().index_fill(0, pairs.hidden_words, self.mask_id).view_as(pairs.ids)
        shown = self.text_embeddings(masked)
        matched = self.text_embeddings(pairs.ids) if self.objective.matched_text == "clean" else shown

        found, told = self.video_features(video), self.text_features(matched, pairs.is_text)
        contrast = contrast_loss(
            told,
            found,
            temperature=self.objective.temperature,
            caption_ids=pairs.caption_ids,
            across_ranks=self.objective.across_ranks,
        )
        if negatives is None:
            negatives = self._negatives(told, found, caption_ids=pairs.caption_ids)
        joint, matches = self._joint(video, shown, matched, pairs.is_text, negatives.clamp_min(0))

        seen, read = joint.tensor_split([video.shape[1]], dim=1)
        pixels = self._pixel_loss(self.decode(seen, visible=visible, hidden=hidden), pairs)
        # Asked at the places of hidden words alone: the head is the largest product of all.
        guessed = self.text_cls(read.flatten(0, 1)[pairs.hidden_words])
        words, words_right = word_loss(guessed, pairs.ids.flatten()[pairs.hidden_words])
        is_match = torch.cat([torch.ones_like(negatives), torch.where(negatives < 0, NOT_PREDICTED, 0)])
        matching, matches_right = match_loss(matches, is_match)
        return {
            "loss": pixels + words + contrast + matching,
            "pixel_loss": pixels.detach(),
            "mlm_loss": words.detach(),
            "vtc_loss": contrast.detach(),
            "vtm_loss": matching.detach(),
            "mlm_accuracy": words_right,
            "vtm_accuracy": matches_right,
        }

    def _joint(
        self, video: Tensor, shown: Tensor, matched: Tensor, is_text: Tensor, negatives: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what is said of pairs with hidden words, [B, N + L, D], and the matching logits, [2 B, 2].

        The logits are of all pairs, then of all captions with the clips that they do not belong to.
        """
        clips, words = [video, video[negatives]], [matched, matched]
        if matched is not shown:
            clips, words = [video, *clips], [shown, *words]
        joint = self.joint(torch.cat(clips), torch.cat(words), is_text.repeat(len(clips), 1))
        logits = self.match_logits(joint[-2 * len(video) :], is_text.repeat(2, 1))
        return joint[: len(video)], logits

    def _negatives(self, told: Tensor, found: Tensor, *, caption_ids: Tensor) -> Tensor:
        if self.objective.negatives == "random":
            return draw_negatives(caption_ids)
        similarity = unit(told.detach()) @ unit(found.detach()).T
        weights = (similarity / self.objective.temperature).softmax(1)
        return draw_negatives(caption_ids, weights=weights)

    def _pixel_loss(self, reconstructed: Tensor, pairs: Pairs) -> Tensor:
        targets = pixel_targets(
            pairs.pixels,
            pairs.is_hidden,
            config=self.encoder.config,
            normalized=self.objective.normalise_target,
        )
        return functional.mse_loss(reconstructed.float(), targets)

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Take all weights of another run, or of one of VideoMAE, which has no words: these stay as they are.

        Raises:
            UsageError: the state is of another model.
        """
        words = {name: t for name, t in self.state_dict().items() if name.startswith(_OF_TEXT)}
        super().load_pretrained({**({} if words.keys() & state.keys() else words), **state})

    @property
    def bert_parts(self) -> dict[str, nn.Module]:
        """Return the vectors of words and positions; its layers are those of the video."""
        return {"embeddings.": self.text_embeddings}

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip, masked ones too; words are not counted."""
        return self.encoder.config.num_tokens

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors and the mask token."""
        return is_vector(name) or name == "mask_token"


def build_method(recipe: Recipe, dataset: Dataset) -> Simvtp:
    """Return the method of a recipe, its weights drawn from the recipe's seed.

    Raises:
        UsageError: the recipe reads no frames or no captions, contradicts itself, or hides no words.
    """
    column_of_kind(recipe, FRAMES)
    column = maskable_column(recipe, dataset)
    check_contrast(recipe)
    method = Simvtp(recipe, column=column)
    method.initialize(torch.Generator().manual_seed(recipe.train.seed))
    return method
