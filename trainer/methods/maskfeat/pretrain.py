"""MaskFeat pretraining: tell the HOG of what is hidden of a clip."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from vfm.shards.columns.commands import kind_of
from vfm.shards.errors import UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.pixels.hog.definition import HogDefinition, find_definition
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.data.clip_sampling import clip_sampling
from vfm.trainer.data.normalize import SLOWFAST, normalize, to_float
from vfm.trainer.method import Method, SampleReader, load_exactly
from vfm.trainer.methods.maskfeat.backbone import mvit_config, resized_table
from vfm.trainer.methods.maskfeat.reader import CLIP, HIDDEN, HOG, HOG_FRAMES, OnlineReader
from vfm.trainer.methods.maskfeat.recipe import CELL_PX
from vfm.trainer.methods.maskfeat.stored import stored_reader
from vfm.trainer.models.mvit import Mvit, MvitConfig, initialize_mvit
from vfm.trainer.models.vit import LAYER_NORM_EPS
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import is_vector


class PredictionHead(nn.Module):
    """A norm and a linear layer, under the names of PySlowFast's checkpoints.

    Args:
        dim: channels of a token.
        num_outputs: values that are told of it.
    """

    def __init__(self, dim: int, num_outputs: int) -> None:
        super().__init__()
        self.transforms = nn.Sequential(nn.Sequential(nn.LayerNorm(dim, eps=LAYER_NORM_EPS)))
        self.projections = nn.Sequential(nn.Linear(dim, num_outputs))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [..., num_outputs] of tokens [..., dim]."""
        out: Tensor = self.projections(self.transforms(tokens))
        return out


class MaskedMvit(Mvit):
    """The encoder, what stands for hidden patches, and the head.

    Args:
        config: sizes.
        num_outputs: values of HOG of a token.
    """

    def __init__(self, config: MvitConfig, *, num_outputs: int) -> None:
        super().__init__(config)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.pred_head = PredictionHead(config.dim_out, num_outputs)

    def predict(self, clips: Tensor, is_hidden: Tensor, *, which: Tensor | None = None) -> Tensor:
        """Return the told HOG of the hidden tokens, float [M, F], clip by clip.

        Args:
            clips: float [B, 3, T, S, S], normalised.
            is_hidden: bool [B, T / 2, H, W], True where a cell is hidden.
            which: int64 [M], the hidden tokens of all clips one after the other; found unless given.
        """
        patches = self.patch_embed(clips)
        hidden = spread_cells(is_hidden, to=self.config.stem_grid)[..., None]
        tokens = self.encode(torch.where(hidden, self.mask_token.to(patches.dtype), patches))
        if which is None:
            which = spread_cells(is_hidden, to=self.config.grid).flatten().nonzero().flatten()
        return self.pred_head(tokens[:, 1:].flatten(0, 1)[which])  # type: ignore[no-any-return]

    def initialize(self, generator: torch.Generator) -> None:
        """Draw every weight as the published code does; biases of the head are 0."""
        initialize_mvit(self, generator=generator)
        for part in self.pred_head.modules():
            if isinstance(part, nn.Linear | nn.LayerNorm):
                nn.init.zeros_(part.bias)


def spread_cells(is_hidden: Tensor, *, to: tuple[int, int, int]) -> Tensor:
    """Return for each token of a finer grid whether its cell is hidden, bool [B, T · H' · W'].

    Args:
        is_hidden: bool [B, T, H, W].
        to: times, rows and columns of the grid, multiples of those of the cells.
    """
    for axis, (cells, tokens) in enumerate(zip(is_hidden.shape[1:], to, strict=True), start=1):
        is_hidden = is_hidden.repeat_interleave(tokens // cells, dim=axis)
    return is_hidden.flatten(1)


class MaskFeat(MaskedMvit, Method):
    """Encoder, head and loss; keys are those of PySlowFast's checkpoints but for the constants of its HOG.

    Args:
        config: sizes.
        num_outputs: values of HOG of a token.
        prepare: makes samples.
    """

    def __init__(self, config: MvitConfig, *, num_outputs: int, prepare: SampleReader) -> None:
        super().__init__(config, num_outputs=num_outputs)
        self.prepare = prepare

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`: the mean squared error over the hidden tokens of the batch and the values of each.

        Args:
            batch: `clip`, uint8 [B, T, S, S, 3], `is_hidden`, bool [B, T / 2, S / 32, S / 32], and `hog`,
                [B, N, F], as it is stored or float32.
        """
        is_hidden = batch[HIDDEN]
        which = spread_cells(is_hidden, to=self.config.grid).flatten().nonzero().flatten()
        told = self.predict(normalize(to_float(batch[CLIP]), by=SLOWFAST), is_hidden, which=which)
        targets = to_values(batch[HOG].flatten(0, 1)[which])
        # A mask may hide nothing of a clip, and of the clips of a batch of one.
        loss = (told.float() - targets).square().sum() / max(targets.numel(), 1)
        return {"loss": loss, "mask_ratio": loss.new_full((), len(which) / batch[HOG].shape[:2].numel())}

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip before the first block."""
        return self.config.num_tokens

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Take all weights of another run; tables of relative positions are resized to this grid."""
        own = self.state_dict()
        load_exactly(self, {name: resized_table(name, tensor, own) for name, tensor in state.items()})

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors, not class token and tables."""
        return is_vector(name) or name.startswith("pred_head.transforms.")


def pretraining_network(recipe: Recipe) -> MaskedMvit:
    """Return the network of a recipe, its weights not drawn; see `build_method` for what is refused."""
    return MaskedMvit(mvit_config(recipe), num_outputs=_definition(recipe).values_per_token)


def to_values(stored: Tensor) -> Tensor:
    """Return HOG in 0 to 1, float32, of what is stored; see `vfm.shards.pixels.hog.storage`."""
    return stored.float() / 255 if stored.dtype == torch.uint8 else stored.float()


def _check_mask(recipe: Recipe) -> None:
    """Refuse a mask that would never hide anything, or always all frames, or parts of a token."""
    objective, model = recipe.objective, recipe.model
    if model.token_px > CELL_PX:
        raise UsageError(
            f"model.pools_at has {len(model.pools_at)} poolings, which make tokens of {model.token_px} px, "
            f"and a mask hides cells of {CELL_PX} px: leave some out."
        )
    num_times, side = recipe.data.clip_len // HOG_FRAMES, model.image_px // CELL_PX
    if objective.mask != "frames" and side < 2:
        raise UsageError(
            f"objective.mask is {objective.mask}, whose blocks are smaller than a frame, and a frame of "
            f"{model.image_px} px has one cell of {CELL_PX} px: use model.image_px={2 * CELL_PX} or more."
        )
    num_units = {"cube": num_times * side**2, "tube": side**2, "frames": num_times}[objective.mask]
    if round(num_units * objective.mask_ratio) in (0, num_units):
        raise UsageError(
            f"objective.mask_ratio is {objective.mask_ratio}, and of the {num_units} parts that a mask of "
            f"kind {objective.mask} has here none or all would be hidden: choose another ratio."
        )


def _definition(recipe: Recipe) -> HogDefinition:
    return replace(find_definition(recipe.objective.hog), token_px=recipe.model.token_px)


def build_method(recipe: Recipe, dataset: Dataset) -> MaskFeat:
    """Return the method of a recipe, its weights drawn from the recipe's seed.

    Raises:
        UsageError: the recipe does not read the frames, contradicts itself, or reads HOG of another
            definition or size.
    """
    column_of_kind(recipe, FRAMES)
    config = mvit_config(recipe)
    _check_mask(recipe)
    model, sampling = recipe.model, clip_sampling(recipe.data)
    definition = _definition(recipe)
    prepare: SampleReader
    if any(kind_of(name) == HOG for name in recipe.data.columns):
        prepare = stored_reader(recipe, dataset, definition=definition, sampling=sampling)
    else:
        prepare = OnlineReader(
            image_px=model.image_px, definition=definition, sampling=sampling, objective=recipe.objective
        )
    method = MaskFeat(config, num_outputs=definition.values_per_token, prepare=prepare)
    method.initialize(torch.Generator().manual_seed(recipe.train.seed))
    return method
