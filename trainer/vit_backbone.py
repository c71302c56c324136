"""The video transformer as VideoMAE and UMT finetune it and look at it: one vector a clip."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.trainer.data.normalize import IMAGENET, Normalization, normalize, to_float
from vfm.trainer.method import Backbone, load_exactly
from vfm.trainer.models.pooled_vit import POSITIONS, PooledVit, draw_head, encoder_state
from vfm.trainer.models.positions import stretch_table
from vfm.trainer.models.vit import VitConfig, initialize_vit
from vfm.trainer.recipes.encoder import EncoderSizes
from vfm.trainer.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Input:
    """What an encoder does with a clip before its first block, where methods differ.

    Attributes:
        positions: table [N, D] to add to the tokens; None computes the sinusoids of their grid.
        keeps_positions: whether the table is part of the state.
        normalization: of its pixels.
    """

    positions: Tensor | None = None
    keeps_positions: bool = False
    normalization: Normalization = IMAGENET


class VitBackbone(PooledVit, Backbone):
    """The encoder's mean over tokens, normalized.

    Args:
        config: sizes.
        read: what becomes of a clip.
    """

    def __init__(self, config: VitConfig, *, read: Input | None = None) -> None:
        read = read or Input()
        super().__init__(config, positions=read.positions, keeps_positions=read.keeps_positions)
        self.dim = config.dim
        self.normalization = read.normalization

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip."""
        return self.config.num_tokens

    def inputs(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return normalized clips, float [B, 3, T, S, S].

        Args:
            batch: `clip`, uint8 [B, T, S, S, 3].
        """
        return normalize(to_float(batch["clip"]), by=self.normalization)

    def example_inputs(self, num_clips: int) -> Tensor:
        """Return clips of noise, normalized."""
        return noise(num_clips, num_frames=self.config.num_frames, size_px=self.config.image_px)

    def encoded(self, inputs: Tensor) -> Tensor:
        """Return float [B, N, D], not normalized, as there is no norm between the blocks and the mean."""
        return self.encode(inputs)

    def pooled(self, encoded: Tensor) -> Tensor:
        """Return float [B, D], the mean of the tokens, normalized."""
        return self.pool(encoded)

    def load_pretrained(self, state: Mapping[str, Tensor], *, start: Recipe | None = None) -> None:
        """Take the encoder of a pretraining or finetuning state; ``fc_norm`` stays new unless it is there.

        A table of positions that is there takes the place of this one's, unless this one's is none of the
        state. One of another grid is stretched, time before space, as UMT's finetuning does (which takes any
        table to be of 8 frames; here its grid is known).

        Raises:
            UsageError: the state is of another encoder.
        """
        found, own = encoder_state(state), self.state_dict()
        table = found.pop(POSITIONS, None)
        if table is not None and POSITIONS in own:
            found[POSITIONS] = table if start is None else self._stretched(table, start=start)
        new = {name: tensor for name, tensor in own.items() if name.startswith(("fc_norm.", POSITIONS))}
        load_exactly(self, new | found)

    def _stretched(self, table: Tensor, *, start: Recipe) -> Tensor:
        side = start.model.image_px // start.model.patch_px
        grid = (start.data.clip_len // self.config.tubelet, side, side)
        return stretch_table(table[0], grid=grid, to=self.config.grid, space_first=False)[None]

    def draw_head(self, head: nn.Linear, *, generator: torch.Generator) -> None:
        """Draw the first weights of a classifier, as the published code does: very small."""
        draw_head(head, generator=generator)

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors."""
        return is_vector(name)

    def layers_above(self, name: str) -> int:
        """Return which layer a parameter is in, counted from the output."""
        return layers_above(name, num_blocks=len(self.blocks))


def noise(num_clips: int, *, num_frames: int, size_px: int) -> Tensor:
    """Return clips as an encoder takes them, float [B, 3, T, S, S], always the same for so many."""
    shape = (num_clips, 3, num_frames, size_px, size_px)
    return torch.randn(shape, generator=torch.Generator().manual_seed(num_clips))


def layers_above(name: str, *, num_blocks: int) -> int:
    """Return which layer a parameter of an encoder is in, counted from the output; see `Method`."""
    room, _, rest = name.partition(".")
    match room:
        case "patch_embed" | "cls_token":
            return num_blocks + 1
        case "blocks":
            return num_blocks - int(rest.partition(".")[0])
    return 0


def is_vector(name: str) -> bool:
    """Return whether the parameter of this name is a bias or the weight of a norm."""
    return name.endswith("bias") or "norm" in name.lower()


def vit_config(recipe: Recipe, *, tubelet: int, reads_images: bool = False) -> VitConfig:
    """Return the sizes of the encoder of a recipe.

    Args:
        recipe: its model is an `EncoderSizes`.
        tubelet: frames of a token.
        reads_images: whether single frames are read as well.

    Raises:
        UsageError: a clip is not a whole number of tubelets.
    """
    model: EncoderSizes = recipe.model
    num_frames = recipe.data.clip_len
    if num_frames % tubelet:
        raise UsageError(
            f"data.clip_len is {num_frames} and model.tubelet {tubelet}; "
            "the first must be a multiple of the second."
        )
    return VitConfig(
        image_px=model.image_px,
        patch_px=model.patch_px,
        num_frames=num_frames,
        tubelet=tubelet,
        dim=model.dim,
        depth=model.depth,
        num_heads=model.num_heads,
        drop_path=model.drop_path,
        reads_images=reads_images,
    )


def build_backbone(config: VitConfig, *, seed: int, read: Input | None = None) -> VitBackbone:
    """Return an encoder alone, its weights drawn from a seed; see `VitBackbone`."""
    backbone = VitBackbone(config, read=read)
    initialize_vit(backbone, generator=torch.Generator().manual_seed(seed), linear="truncated")
    return backbone
