"""The VIMPAC transformer: codes of a clip in, one CLS vector and one vector per code out."""

import math
from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.trainer.method import Backbone, load_exactly
from vfm.trainer.methods.vimpac.grid import AXIS_DIM, Grid, to_lines
from vfm.trainer.methods.vimpac.layers import (
    LAYER_NORM_EPS,
    Mlp,
    PostNormAttention,
    PreNormAttention,
    Transformer,
)
from vfm.trainer.methods.vimpac.positions import build_positions, stretch_positions
from vfm.trainer.methods.vimpac.recipe import ModelConfig
from vfm.trainer.recipes.recipe import Recipe

UNDECAYED = (".bias", "LayerNorm.weight", ".ln.weight", "ln_pre.weight", "ln_post.weight")
NUM_SPECIAL = 5  # table rows after the codes; of these the reference uses PAD and MASK


def pad_id(vocab_size: int) -> int:
    """Id of a frame past the end of a short video."""
    return vocab_size + 1


def mask_id(vocab_size: int) -> int:
    """Id of a code that is to be predicted."""
    return vocab_size + 4


class VimpacBackbone(Backbone):
    """Transformer over the L x H x W codes of a clip and one CLS vector (Tan et al. 2021, arXiv 2106.11250).

    Keys of its state are the official ones without "backbone.". With a vocabulary of V codes the table has V
    + 5
    rows: codes 0..V-1, PAD V+1, MASK V+4; the three others are never used.

    Args:
        config: a resolved configuration: nothing is left to the data.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = config.dim
        self.grid = grid_of(config)
        self.vocab_size = _known(config.vocab_size, "vocab_size")
        self.cls_param = nn.Parameter(torch.empty(config.dim))
        self.embedding = nn.Embedding(self.vocab_size + NUM_SPECIAL, config.dim)
        self.positional_embedding = build_positions(config.pos_emb, grid=self.grid, dim=config.dim)
        self.dropout = nn.Dropout(config.dropout)
        norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.ln_pre: nn.Module = nn.Identity() if config.pre_activation else norm
        self.transformer = Transformer(config)
        self.ln_post: nn.Module = norm if config.pre_activation else nn.Identity()

    def forward(self, codes: Tensor, *, has_pad: bool | None = None) -> tuple[Tensor, Tensor]:
        """Encode clips.

        Args:
            codes: integer ids [B, L, H, W].
            has_pad: see `encode`.

        Returns:
            CLS [B, D] and the hidden vectors [B, L, H, W, D]. PAD positions have hidden vectors too.
        """
        tokens = self.encode(codes, has_pad=has_pad)
        return tokens[:, 0], tokens[:, 1:].view(len(codes), *self.grid.shape, self.dim)

    def encode(self, codes: Tensor, *, rows: Tensor | None = None, has_pad: bool | None = None) -> Tensor:
        """Encode clips and return only what is wanted of them.

        Args:
            codes: integer ids [B, L, H, W].
            rows: int64 [R], the wanted tokens numbered through the batch, see `cls_rows` and `code_rows`;
                None wants all.
            has_pad: whether PAD occurs in `codes`. Without PAD no mask is applied, with the same result. None
                finds out by looking on a CPU, and takes it for granted on a GPU, where looking would stall
                the queue.

        Returns:
            [R, D], or [B, 1 + N, D] with CLS first.
        """
        key_masks = self.key_masks(codes, has_pad=has_pad)
        return cast(Tensor, self.ln_post(self.transformer(self.embed(codes), self.grid, key_masks, rows)))

    def cls_rows(self, codes: Tensor) -> Tensor:
        """Return the row of every clip's CLS, int64 [B]."""
        return torch.arange(len(codes), device=codes.device) * (1 + self.grid.num_tokens)

    def code_rows(self, positions: Tensor) -> Tensor:
        """Return the rows of codes, given their positions int64 [K] in the flattened [B, L, H, W]."""
        return positions + positions // self.grid.num_tokens + 1

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip."""
        return self.grid.num_tokens

    def features(self, batch: Mapping[str, Tensor], *, pool: Literal["cls", "mean"] = "cls") -> Tensor:
        """Return one vector per clip [B, D]: CLS, or the mean of the hidden vectors, pads included.

        Args:
            batch: see `inputs`.
            pool: what to return.
        """
        codes = self.inputs(batch)
        if pool == "cls":  # of the last block nothing else is computed
            return self.encode(codes, rows=self.cls_rows(codes))
        return self.encode(codes)[:, 1:].mean(1)

    def inputs(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return `codes` of a batch, integer ids [B, L, H, W]."""
        return batch["codes"]

    def example_inputs(self, num_clips: int) -> Tensor:
        """Return clips of drawn codes."""
        generator = torch.Generator().manual_seed(num_clips)
        return torch.randint(self.vocab_size, (num_clips, *self.grid.shape), generator=generator)

    def encoded(self, inputs: Tensor) -> Tensor:
        """Return CLS and the hidden vectors [B, 1 + N, D]."""
        return self.encode(inputs)

    def pooled(self, encoded: Tensor) -> Tensor:
        """Return CLS [B, D]."""
        return encoded[:, 0]

    def load_pretrained(self, state: Mapping[str, Tensor], *, start: Recipe | None = None) -> None:
        """Take the weights under "backbone." from an official state; positions stretch to this grid.

        Heads are left aside. Anything else must fit: the reference lets other keys be missing and cuts a
        larger vocabulary down, which would turn codes of one codebook into codes of another.

        Raises:
            UsageError: the state is of another transformer or another codebook.
        """
        del start  # the tables of a state tell their sizes
        prefix = "backbone."
        found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        load_exactly(self, stretch_positions(found, like=self.state_dict()), prefix=prefix)

    def draw_head(self, head: nn.Linear, *, generator: torch.Generator) -> None:
        """Set a classifier to zero, where the reference starts it."""
        del generator
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)

    def no_weight_decay(self, name: str) -> bool:
        """Return whether the reference leaves this parameter undecayed: biases and the layer norms it names.

        CLS, embedding and positions are decayed.
        """
        return any(part in name for part in UNDECAYED)

    def layers_above(self, name: str) -> int:
        """Return which layer a parameter is in, counted from the output."""
        depth = len(self.transformer.resblocks)
        room, _, rest = name.partition(".resblocks.")
        if room == "transformer":
            return depth - int(rest.partition(".")[0])
        return 0 if name.startswith("ln_post.") else depth + 1

    def embed(self, codes: Tensor) -> Tensor:
        """Return the first tokens [B, 1 + N, D]: content plus position, normalised when post-norm."""
        if codes.shape[1:] != self.grid.shape:
            raise UsageError(
                f"The model was built for clips of {self.grid.shape} (frames, rows, columns) and got "
                f"{tuple(codes.shape[1:])}; build it for that shape and stretch its positions."
            )
        cls = self.cls_param.expand(codes.shape[0], 1, -1)
        tokens = torch.cat([cls, self.embedding(codes.flatten(1))], dim=1) + self.positional_embedding()
        return cast(Tensor, self.dropout(self.ln_pre(tokens)))

    def key_masks(self, codes: Tensor, *, has_pad: bool | None) -> dict[str, Tensor]:
        """Return which keys count, per axis: bool [B * M, 1, 1, S], CLS always. Empty if nothing is PAD."""
        is_code = codes != pad_id(self.vocab_size)
        if has_pad is None:
            # A program that is exported is one for all clips.
            has_pad = codes.is_cuda or torch.compiler.is_exporting() or not bool(is_code.all())
        if not has_pad:
            return {}
        counts = torch.cat([is_code.new_ones(codes.shape[0], 1), is_code.flatten(1)], dim=1)[..., None]
        return {axis: to_lines(counts, grid=self.grid, axis=axis)[:, None, None, :, 0] for axis in AXIS_DIM}

    def initialize(self, generator: torch.Generator | None = None) -> None:
        """Draw every weight as the reference does."""
        std = self.config.init_std
        initialize_linears(self, generator, std=std)
        self.cls_param.data.normal_(0.0, std, generator=generator)
        self.positional_embedding.initialize(generator, std=std)
        if self.config.pre_activation:
            self._shrink_branches(generator)

    def _shrink_branches(self, generator: torch.Generator | None) -> None:
        kinds, std = (PostNormAttention, PreNormAttention, Mlp), self.config.init_std
        branches = [module for module in self.modules() if isinstance(module, kinds)]
        for branch in branches:
            last = branch.c_proj if isinstance(branch, Mlp) else branch.last_linear
            last.weight.data.normal_(0.0, std / math.sqrt(len(branches)), generator=generator)


def grid_of(config: ModelConfig) -> Grid:
    """Return the token grid of a resolved configuration."""
    return Grid(
        length=_known(config.clip_len, "clip_len"),
        height=_known(config.grid_height, "grid_height"),
        width=_known(config.grid_width, "grid_width"),
    )


def _known(value: int | None, name: str) -> int:
    assert value is not None, f"model.{name} is still left to the data: resolve the configuration first"
    return value


def initialize_linears(module: nn.Module, generator: torch.Generator | None, *, std: float) -> None:
    """Draw weights of linear layers and embeddings from normal(0, std) and set biases to zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            part.weight.data.normal_(0.0, std, generator=generator)
        if isinstance(part, nn.Linear) and part.bias is not None:
            part.bias.data.zero_()
