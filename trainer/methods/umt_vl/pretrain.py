"""UMT's second stage: videos and captions find each other while the student keeps to its teacher.

Keys and values of a video are computed once for the four captions that look at it: its own, whole and with
hidden words, and two that do not belong to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.method import Method
from vfm.trainer.methods.umt.teaching import Teacher, teacher_of
from vfm.trainer.methods.umt_vl.negatives import MatchPairs, draw_pairs
from vfm.trainer.methods.umt_vl.network import UmtVlNetwork
from vfm.trainer.methods.umt_vl.reader import (
    LABELS,
    SHOWN,
    PretrainReader,
    image_reader,
    published_crop,
)
from vfm.trainer.methods.umt_vl.recipe import Objective
from vfm.trainer.models.distillation import align_loss
from vfm.trainer.online_teacher import OpenTeacher
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.video_text.captions import (
    CAPTION_ID,
    IDS,
    NUM_IDS,
    CaptionReader,
    TextColumn,
    maskable_column,
)
from vfm.trainer.video_text.contrast import check_contrast, soft_contrast_loss
from vfm.trainer.video_text.losses import hidden_places, match_loss, word_loss
from vfm.trainer.video_text.model import is_text_of
from vfm.trainer.vit_backbone import is_vector

_VISION = "vision_encoder."
_STUDENT = (f"{_VISION}encoder.", f"{_VISION}clip_decoder.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Clips and captions, what of them is hidden, and what the teacher says.

    Attributes:
        clips: float [B, 3, T, S, S], normalized; of one frame where they are images.
        visible: int64 [B, N_visible], ascending.
        features: float [B, N_visible, K, C], of the teacher.
        ids: int64 [B, L], as long as the longest caption.
        shown: int64 [B, L], the same with hidden words.
        is_text: bool [B, L], False where padded.
        hidden_words: int64 [W], the places to be guessed, counted through ids of all captions.
        caption_ids: int64 [B]; equal where captions are.
    """

    clips: Tensor
    visible: Tensor
    features: Tensor
    ids: Tensor
    shown: Tensor
    is_text: Tensor
    hidden_words: Tensor
    caption_ids: Tensor


class UmtVl(UmtVlNetwork, Method):
    """The network and its four losses.

    Args:
        recipe: the numbers.
        teacher: of the student.
        column: of the captions' ids.
    """

    def __init__(self, recipe: Recipe, *, teacher: Teacher, column: TextColumn) -> None:
        super().__init__(recipe, teacher_dim=teacher.dim, vocab_size=column.vocab_size, pad_id=column.pad_id)
        self.objective: Objective = recipe.objective
        self.teaching = teacher.teaching
        self.learned_from = teacher.learned_from
        captions = CaptionReader(
            column=column, max_ids=self.objective.max_ids, captions=self.objective.captions
        )
        self.prepare = PretrainReader(
            clips=teacher.prepare,
            images=image_reader(teacher.prepare, mask_ratio=self.objective.image_mask_ratio),
            captions=captions,
            word_ratio=self.objective.word_ratio,
        )

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, the sum of four parts, these, and the shares of words and matches that are right.

        Args:
            batch: arrays of `PretrainReader`, stacked.
        """
        visible, features = self.teaching(batch)
        longest, hidden_words = hidden_places(batch[LABELS], batch[NUM_IDS])
        return self.losses(
            Pairs(
                clips=normalize(to_float(batch["clip"])),
                visible=visible,
                features=features,
                ids=batch[IDS][:, :longest],
                shown=batch[SHOWN][:, :longest],
                is_text=is_text_of(batch[NUM_IDS], length=longest),
                hidden_words=hidden_words,
                caption_ids=batch[CAPTION_ID],
            )
        )

    def losses(self, pairs: Pairs, *, matched: MatchPairs | None = None) -> dict[str, Tensor]:
        """Return what `forward` does; what is matched is drawn unless it is given."""
        if self.training:
            self.clamp_temperature()
        tokens, student = self.see(pairs.clips, pairs.visible)
        teacher = pairs.features.permute(2, 0, 1, 3)
        aligning = align_loss(student.float(), teacher, norm="l2", distance=self.objective.distance)

        whole, shown = self.bert.read(torch.cat([pairs.ids, pairs.shown]), pairs.is_text.repeat(2, 1)).chunk(
            2
        )
        video, text = self.video_units(tokens, num_parts=1).mean(1), self.text_units(whole)
        contrast = soft_contrast_loss(
            text,
            video,
            temperature=self.temp,
            caption_ids=pairs.caption_ids,
            across_ranks=self.objective.across_ranks,
        )
        if matched is None:
            matched = draw_pairs(
                text.detach().float() @ video.detach().float().T / self.temp.detach(),
                caption_ids=pairs.caption_ids,
                negatives=self.objective.negatives,
            )
        num_pairs = len(matched.is_match)
        fused = self.bert.fuse(
            torch.cat([whole[matched.captions], shown]),
            torch.cat([pairs.is_text[matched.captions], pairs.is_text]),
            source=tokens,
            which=torch.cat([matched.videos, torch.arange(len(tokens), device=tokens.device)]),
        )
        matching, matches_right = match_loss(self.itm_head(fused[:num_pairs, 0]), matched.is_match)
        # Asked at the places of hidden words alone: the head is a large product.
        guessed = self.word_logits(fused[num_pairs:].flatten(0, 1)[pairs.hidden_words])
        words, words_right = word_loss(guessed, pairs.ids.flatten()[pairs.hidden_words])
        return {
            "loss": aligning + contrast + matching + words,
            "uta_loss": aligning.detach(),
            "vtc_loss": contrast.detach(),
            "vtm_loss": matching.detach(),
            "mlm_loss": words.detach(),
            "mlm_accuracy": words_right,
            "vtm_accuracy": matches_right,
        }

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Take all weights of another run, or of one of the first stage, of which the rest stays as it is.

        Raises:
            UsageError: the state is of another model.
        """
        if not any(name.startswith(_VISION) for name in state):
            rest = {name: t for name, t in self.state_dict().items() if not name.startswith(_STUDENT)}
            state = rest | {f"{_VISION}{name}": tensor for name, tensor in state.items()}
        super().load_pretrained(state)

    @property
    def bert_parts(self) -> dict[str, nn.Module]:
        """Return all that BERT has: words, layers but for their attention to videos, what guesses words."""
        bert, guess = self.bert, self.text_encoder.cls.predictions
        return {"embeddings.": bert.embeddings, "encoder.": bert.encoder, "cls.predictions.": guess}

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip, masked ones too; words are not counted."""
        return self.vision_encoder.encoder.config.num_tokens

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors, but not the temperature."""
        return is_vector(name)


def build_method(recipe: Recipe, dataset: Dataset, *, open_teacher: OpenTeacher | None = None) -> UmtVl:
    """Return the method of a recipe, its weights drawn from the recipe's seed.

    Raises:
        UsageError: the recipe does not read frames, a teacher's features and captions; or it contradicts
            itself or the data.
    """
    column = maskable_column(recipe, dataset)
    check_contrast(recipe)
    if recipe.model.has_own_shape or recipe.model.stretch_time:
        raise UsageError(
            f"model.pretrained_grid and model.stretch_time tell how a model is finetuned, and {recipe.name} "
            "pretrains one: leave them out."
        )
    crop = partial(published_crop, image_px=recipe.model.image_px)
    teacher = teacher_of(recipe, dataset, open_teacher=open_teacher, crop=crop)
    method = UmtVl(recipe, teacher=teacher, column=column)
    method.initialize(torch.Generator().manual_seed(recipe.train.seed))
    return method
