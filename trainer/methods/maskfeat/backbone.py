"""MaskFeat's encoder as it is finetuned and looked at: one vector a clip."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfm.shards.errors import UsageError
from vfm.shards.pixels.spread_crops import slowfast_crops, three_crops
from vfm.shards.pixels.views import centre
from vfm.trainer.data.clips import PixelReader
from vfm.trainer.data.normalize import SLOWFAST, normalize, to_float
from vfm.trainer.method import Backbone, load_exactly
from vfm.trainer.methods.maskfeat.recipe import ModelConfig, Pooling
from vfm.trainer.models.mvit import STEM_FRAMES, Mvit, MvitConfig, initialize_mvit
from vfm.trainer.models.pooled_vit import draw_head
from vfm.trainer.models.vit import LAYER_NORM_EPS
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import is_vector, layers_above, noise

_OF_PRETRAINING = ("mask_token", "pred_head.", "hogs.", "target_generator.")
_RELATIVE = "attn.rel_pos_"
_CUTS = {"slowfast": slowfast_crops, "mmaction2": three_crops}


class MvitBackbone(Mvit, Backbone):
    """The encoder, and the norm of what its pooling leaves.

    Args:
        config: sizes.
        pooling: ``mean`` norms the mean over patches, as PySlowFast finetunes; ``class`` takes the class
            token of what is normed, as the supervised models and MMAction2 do.
    """

    def __init__(self, config: MvitConfig, *, pooling: Pooling) -> None:
        super().__init__(config)
        self.norm = nn.LayerNorm(config.dim_out, eps=LAYER_NORM_EPS)
        self.dim = config.dim_out
        self.pooling = pooling

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip before the first block, the class token not among them."""
        return self.config.num_tokens

    def inputs(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return normalized clips, float [B, 3, T, S, S].

        Args:
            batch: `clip`, uint8 [B, T, S, S, 3].
        """
        return normalize(to_float(batch["clip"]), by=SLOWFAST)

    def example_inputs(self, num_clips: int) -> Tensor:
        """Return clips of noise, normalized."""
        return noise(num_clips, num_frames=self.config.num_frames, size_px=self.config.image_px)

    def encoded(self, inputs: Tensor) -> Tensor:
        """Return float [B, 1 + N, D], the class token and the patches behind the last block, not normed."""
        return self.encode(self.patch_embed(inputs))

    def pooled(self, encoded: Tensor) -> Tensor:
        """Return float [B, D]: the norm of the mean over patches, or of the class token."""
        is_class = self.pooling == "class"
        pooled: Tensor = self.norm(encoded[:, 0] if is_class else encoded[:, 1:].mean(1))
        return pooled

    def tokens(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float [B, N, D], the patches alone."""
        return super().tokens(batch)[:, 1:]

    def load_pretrained(self, state: Mapping[str, Tensor], *, start: Recipe | None = None) -> None:
        """Take the encoder of a pretraining or finetuning state; ``norm`` stays new unless it is there.

        Tables of relative positions of another length are resized: those of blocks behind a pooling that
        pretraining leaves out, and all where clips have another shape.

        Raises:
            UsageError: the state is of another encoder.
        """
        del start
        own = self.state_dict()
        found = {name: resized_table(name, table, own) for name, table in encoder_state(state).items()}
        new = {name: tensor for name, tensor in own.items() if name.startswith("norm.")}
        load_exactly(self, new | found)

    def draw_head(self, head: nn.Linear, *, generator: torch.Generator) -> None:
        """Draw the first weights of a classifier, as the published code does: very small."""
        draw_head(head, generator=generator)

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors."""
        return is_vector(name)

    def layers_above(self, name: str) -> int:
        """Return which layer a parameter is in, counted from the output."""
        return layers_above(name, num_blocks=len(self.blocks))


def encoder_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a pretraining or finetuning state holds for `MvitBackbone`."""
    prefix = "backbone."
    inner = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    return {name: t for name, t in (inner or state).items() if not name.startswith(_OF_PRETRAINING)}


def resized_table(name: str, table: Tensor, own: Mapping[str, Tensor]) -> Tensor:
    """Return a table of relative positions with as many rows as ``own`` has, between neighbours linearly.

    Args:
        name: of a parameter; what is no such table is returned as it is.
        table: [R, C].
        own: the network's tensors by name.
    """
    wanted = own.get(name)
    if _RELATIVE not in name or wanted is None or len(table) == len(wanted):
        return table
    resized = functional.interpolate(table.T[None], len(wanted), mode="linear", align_corners=False)
    return resized[0].T.contiguous()


def clip_reader(recipe: Recipe) -> PixelReader:
    """Return what reads the clips that the encoder takes, and cuts the squares of a test."""
    return PixelReader(view=centre(recipe.model.image_px), cut=_CUTS[recipe.model.views])


def mvit_config(recipe: Recipe) -> MvitConfig:
    """Return the sizes of the encoder of a recipe.

    Raises:
        UsageError: a clip is not a whole number of the stem's steps.
    """
    model: ModelConfig = recipe.model
    if recipe.data.clip_len % STEM_FRAMES:
        raise UsageError(
            f"data.clip_len is {recipe.data.clip_len}, but must be a multiple of {STEM_FRAMES}, the frames "
            "of a token."
        )
    return MvitConfig(
        image_px=model.image_px,
        num_frames=recipe.data.clip_len,
        dim=model.dim,
        depth=model.depth,
        num_heads=model.num_heads,
        grows_at=model.grows_at,
        pools_at=model.pools_at,
        kv_stride=model.kv_stride,
        growth=model.growth,
        drop_path=model.drop_path,
    )


def encoder_of(recipe: Recipe) -> MvitBackbone:
    """Return the encoder alone, its weights not drawn."""
    return MvitBackbone(mvit_config(recipe), pooling=recipe.model.pooling)


def build_encoder(recipe: Recipe) -> MvitBackbone:
    """Return the encoder alone, its weights drawn from the recipe's seed."""
    backbone = encoder_of(recipe)
    initialize_mvit(backbone, generator=torch.Generator().manual_seed(recipe.train.seed))
    return backbone
