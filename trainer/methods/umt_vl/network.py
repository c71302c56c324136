"""UMT's second stage: the student of the first, a BERT that reads captions, and layers that see both.

Li et al. 2023, arXiv 2303.16058, section 3.3; names and rules of the released code. Shapes: B pairs, N tokens
of a video, F frames, L ids of a caption.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.trainer.methods.umt_vl.recipe import ModelConfig
from vfm.trainer.models.bert import Bert, BertConfig, WordHead, initialize_linear
from vfm.trainer.models.distillation import AlignConfig, DistilledLevels
from vfm.trainer.models.positions import sinusoid_table, stretch_table
from vfm.trainer.models.vit import LAYER_NORM_EPS, Encoder, initialize_vit
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.video_text.contrast import unit
from vfm.trainer.vit_backbone import vit_config

_HEAD_EPS = 1e-5  # of the student's heads; in the first stage 1e-6
_HEAD = "vision_encoder.clip_decoder.0.head.weight"
_TEMPERATURES = (0.001, 0.5)


class Vision(Protocol):
    """The encoder of clips, under the names of the released code."""

    encoder: Encoder
    pool_norm: nn.LayerNorm


class PairNetwork(nn.Module, ABC):
    """What the pretrained and the finetuned network share: all but how their parts are named.

    Attributes:
        temp: divides the cosines of videos and captions.
    """

    def __init__(self, model: ModelConfig, *, temperature: float) -> None:
        super().__init__()
        self.temp = nn.Parameter(torch.tensor(temperature))
        self.vision_proj = nn.Linear(model.dim, model.proj_dim)
        self.text_proj = nn.Linear(model.text_dim, model.proj_dim)
        self.itm_head = nn.Linear(model.text_dim, 2)

    @property
    @abstractmethod
    def vision(self) -> Vision:
        """Return what sees clips."""

    @property
    @abstractmethod
    def bert(self) -> Bert:
        """Return what reads captions."""

    def tokens(self, clips: Tensor) -> Tensor:
        """Return the normalized tokens of whole clips [B, 3, T, S, S]: float [B, N, D]."""
        out: Tensor = self.vision.encoder(clips)
        return out

    def video_units(self, tokens: Tensor, *, num_parts: int) -> Tensor:
        """Return vectors of a video that are compared, of length 1: float [B, num_parts, proj_dim].

        Args:
            tokens: float [B, N, D].
            num_parts: how many equal parts the tokens are averaged in: the frames of whole clips, 1 where a
                part of the tokens is visible.
        """
        parts = tokens.view(len(tokens), num_parts, -1, tokens.shape[2]).mean(2)
        return unit(self.vision_proj(self.vision.pool_norm(parts)))

    def text_units(self, read: Tensor) -> Tensor:
        """Return the vector of what `Bert.read` returned, of length 1: float [B, proj_dim]."""
        return unit(self.text_proj(read[:, 0]))

    def match_logits(
        self, read: Tensor, is_text: Tensor, *, tokens: Tensor, which: Tensor | None = None
    ) -> Tensor:
        """Return whether captions and videos belong together, float [B, 2], the second number for yes.

        Args:
            read: of `Bert.read`.
            is_text: bool [B, L].
            tokens: of videos.
            which: int64 [B], the video of each caption; None is one for each.
        """
        fused = self.bert.fuse(read, is_text, source=tokens, which=which)
        logits: Tensor = self.itm_head(fused[:, 0])
        return logits

    def clamp_temperature(self) -> None:
        """Keep the temperature within its bounds; the released code does so before each update."""
        with torch.no_grad():
            self.temp.clamp_(*_TEMPERATURES)


class DistilledVision(DistilledLevels):
    """The first stage's student with a norm behind the mean of tokens."""

    def __init__(self, recipe: Recipe, *, teacher_dim: int) -> None:
        model: ModelConfig = recipe.model
        align = AlignConfig(
            teacher_dim=teacher_dim,
            num_levels=model.num_levels,
            level_interval=model.level_interval,
            norm="none",
            eps=_HEAD_EPS,
        )
        super().__init__(vit_config(recipe, tubelet=1, reads_images=True), align)
        self.pool_norm = nn.LayerNorm(model.dim, eps=LAYER_NORM_EPS)


class _Predictions(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = WordHead(config)


class _MaskedBert(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = Bert(config)
        self.cls = _Predictions(config)


class UmtVlNetwork(PairNetwork):
    """The pretrained network, with heads for a teacher and for words.

    Args:
        recipe: of pretraining.
        teacher_dim: channels of the teacher's features.
        vocab_size: words.
        pad_id: stands behind captions that are shorter than others.
    """

    def __init__(self, recipe: Recipe, *, teacher_dim: int, vocab_size: int, pad_id: int = 0) -> None:
        super().__init__(recipe.model, temperature=recipe.objective.temperature)
        self.vision_encoder = DistilledVision(recipe, teacher_dim=teacher_dim)
        self.text_encoder = _MaskedBert(bert_config(recipe.model, vocab_size=vocab_size, pad_id=pad_id))

    @property
    def vision(self) -> DistilledVision:
        """Return the student."""
        return self.vision_encoder

    @property
    def bert(self) -> Bert:
        """Return what reads captions."""
        return self.text_encoder.bert

    def see(self, clips: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is said of visible tokens, and the same in the teacher's space.

        Args:
            clips: float [B, 3, T, S, S], normalized; of one frame where they are images.
            visible: int64 [B, N_visible], ascending.

        Returns:
            float [B, N_visible, D], and [K, B, N_visible, teacher_dim], the shallowest level first.
        """
        vision = self.vision_encoder
        levels = vision.encoder.levels(clips, visible=visible, blocks=vision.levels)
        return levels[-1], vision.project(levels, visible)

    def word_logits(self, fused: Tensor) -> Tensor:
        """Return which word is hidden at places, float [..., vocab_size], of what is said of them."""
        logits: Tensor = self.text_encoder.cls.predictions(fused, self.bert.embeddings.word_embeddings.weight)
        return logits

    def initialize(self, generator: torch.Generator) -> None:
        """Draw every weight: the student as in the first stage, words and what joins them as BERT does."""
        initialize_vit(self.vision_encoder, generator=generator)
        initialize_joint(self, generator)
        initialize_linear(self.text_encoder.cls, generator)


class VisionEncoder(nn.Module):
    """The student as it is finetuned: no heads for a teacher.

    Args:
        recipe: of finetuning.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        config, model = vit_config(recipe, tubelet=1, reads_images=True), recipe.model
        positions = None
        if model.stretch_time and model.pretrained_grid is not None:
            times, _, _ = model.pretrained_grid
            grid = (times, *config.grid[1:])
            table = sinusoid_table(times * model.cells_per_frame, config.dim)
            positions = stretch_table(table, grid=grid, to=config.grid)
        self.encoder = Encoder(config, positions=positions)
        self.pool_norm = nn.LayerNorm(model.dim, eps=LAYER_NORM_EPS)


def initialize_joint(network: PairNetwork, generator: torch.Generator) -> None:
    """Draw the BERT and what joins it with the student."""
    network.bert.initialize(generator)
    for layer in (network.vision_proj, network.text_proj, network.itm_head):
        initialize_linear(layer, generator)


def bert_config(model: ModelConfig, *, vocab_size: int, pad_id: int) -> BertConfig:
    """Return the sizes of the BERT of a model."""
    return BertConfig(
        vocab_size=vocab_size,
        num_positions=model.text_positions,
        dim=model.text_dim,
        depth=model.text_depth,
        num_heads=model.text_heads,
        fusion_layer=model.fusion_layer,
        source_dim=model.dim,
        dropout=model.text_dropout,
        pad_id=pad_id,
        init_std=model.text_init_std,
    )


def with_retrieval_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a state of pretraining holds for the finetuned network, under its names."""
    found = {}
    for name, tensor in state.items():
        if not name.startswith(("vision_encoder.clip_decoder.", "text_encoder.cls.")):
            found[name.replace("text_encoder.bert.", "text_encoder.", 1)] = tensor
    return found


def pretraining_network(recipe: Recipe, state: Mapping[str, Tensor], *, vocab_size: int) -> UmtVlNetwork:
    """Return the network of a recipe, its weights not drawn, for the teacher of a state.

    Raises:
        UsageError: the state has no heads for a teacher's features.
    """
    if (head := state.get(_HEAD)) is None:
        raise UsageError(f"The weights have no {_HEAD}, whose rows are the channels of UMT's teacher.")
    return UmtVlNetwork(recipe, teacher_dim=len(head), vocab_size=vocab_size)
