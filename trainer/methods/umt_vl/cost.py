"""One clip and its caption through UMT's second stage, for what it costs."""

import numpy as np
import torch
from torch import Tensor

from vfm.trainer.forward_pass import ForwardPass, blank_clips, finetuning_pass, of_pixels
from vfm.trainer.methods.umt.cost import teacher_dim_of
from vfm.trainer.methods.umt.reader import draw_visible
from vfm.trainer.methods.umt_vl.encoder import encoder_of
from vfm.trainer.methods.umt_vl.finetuned import Retriever
from vfm.trainer.methods.umt_vl.network import PairNetwork, UmtVlNetwork
from vfm.trainer.recipes.recipe import Recipe

_VOCAB_SIZE, _NUM_IDS = 30522, 32  # BERT's vocabulary; the longest caption of the published recipes


def forward_pass(recipe: Recipe) -> ForwardPass:
    """Return the pass of a recipe: of what pretraining sees, or of what a task asks of."""
    if recipe.task is None:
        return _pretraining_pass(recipe)
    if recipe.task == "retrieve":
        return _retrieving_pass(recipe)
    encoder = encoder_of(recipe)
    return finetuning_pass(recipe, encoder, features=encoder.features)


def _captions(recipe: Recipe, *, num: int) -> tuple[Tensor, Tensor]:
    num_ids = min(_NUM_IDS, recipe.objective.max_ids)
    return torch.zeros(num, num_ids, dtype=torch.int64), torch.ones(num, num_ids, dtype=torch.bool)


def _matched(network: PairNetwork, read: Tensor, tokens: Tensor) -> Tensor:
    """Return matching logits of a caption, and of two that do not belong to the video."""
    which = torch.zeros(3, dtype=torch.int64)
    is_text = torch.ones(3, read.shape[1], dtype=torch.bool)
    return network.match_logits(read[:1].repeat(3, 1, 1), is_text, tokens=tokens, which=which)


def _notes(recipe: Recipe) -> tuple[str, ...]:
    num_ids = min(_NUM_IDS, recipe.objective.max_ids)
    return f"a caption of {num_ids} ids of {_VOCAB_SIZE}", "with two more pairs for matching"


def _retrieving_pass(recipe: Recipe) -> ForwardPass:
    network = Retriever(recipe, vocab_size=_VOCAB_SIZE)

    def run() -> list[Tensor]:
        ids, is_text = _captions(recipe, num=1)
        tokens, read = network.tokens(blank_clips(recipe)), network.text_tokens(ids, is_text)
        units = network.video_units(tokens, num_parts=recipe.data.clip_len)
        return [units, network.text_units(read), _matched(network, read, tokens)]

    return ForwardPass(network=network, run=run, clip=of_pixels(recipe), notes=_notes(recipe))


def _pretraining_pass(recipe: Recipe) -> ForwardPass:
    teacher_dim = teacher_dim_of(recipe)
    network = UmtVlNetwork(recipe, teacher_dim=teacher_dim, vocab_size=_VOCAB_SIZE)
    even = np.ones((recipe.data.clip_len, recipe.model.cells_per_frame), np.float32)
    num_visible = len(draw_visible(even, recipe.objective, rng=np.random.default_rng(0)))

    def run() -> list[Tensor]:
        ids, is_text = _captions(recipe, num=2)
        num_guessed = round(recipe.objective.word_ratio * ids.shape[1])
        tokens, student = network.see(blank_clips(recipe), torch.arange(num_visible)[None])
        whole, shown = network.bert.read(ids, is_text).chunk(2)
        fused = network.bert.fuse(shown, is_text[:1], source=tokens)
        return [
            student,
            network.video_units(tokens, num_parts=1),
            network.text_units(whole),
            _matched(network, whole, tokens),
            network.word_logits(fused[0, :num_guessed]),
        ]

    notes = (
        f"{num_visible} of {even.size} tokens visible",
        f"heads for a teacher of {teacher_dim} channels",
        "without the teacher itself",
        *_notes(recipe),
    )
    return ForwardPass(network=network, run=run, clip=of_pixels(recipe), notes=notes)
