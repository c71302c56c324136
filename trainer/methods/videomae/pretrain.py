"""VideoMAE pretraining: reconstruct the masked tubelets of a clip."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from vfm.shards.format.layout import FRAMES
from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.data.tube_masked_clips import tube_masked_clips
from vfm.trainer.method import Method
from vfm.trainer.methods.videomae.recipe import Objective
from vfm.trainer.models.mae import MaskedAutoencoder, pixel_targets
from vfm.trainer.recipes.columns import column_of_kind
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.vit_backbone import is_vector, vit_config


class VideoMae(MaskedAutoencoder, Method):
    """Encoder, decoder and loss under the keys of an official checkpoint.

    Args:
        recipe: the numbers.
    """

    def __init__(self, recipe: Recipe) -> None:
        model = recipe.model
        super().__init__(
            vit_config(recipe, tubelet=recipe.model.tubelet),
            decoder_dim=model.decoder_dim,
            decoder_depth=model.decoder_depth,
            decoder_heads=model.decoder_heads,
        )
        self.objective: Objective = recipe.objective
        self.prepare = tube_masked_clips(recipe)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]  # a method's
        """Return `loss`: the mean squared error of the reconstructed pixels.

        Args:
            batch: `clip`, uint8 [B, T, S, S, 3], and `is_hidden`, bool [B, N].
        """
        pixels, is_hidden = to_float(batch["clip"]), batch["is_hidden"]
        reconstructed = self.reconstruct(normalize(pixels), is_hidden)
        targets = pixel_targets(
            pixels, is_hidden, config=self.encoder.config, normalized=self.objective.normalise_target
        )
        return {"loss": functional.mse_loss(reconstructed.float(), targets)}

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip, masked ones too."""
        return self.encoder.config.num_tokens

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors and the mask token."""
        return is_vector(name) or name == "mask_token"


def pretraining_network(recipe: Recipe) -> MaskedAutoencoder:
    """Return the network of a recipe, its weights not drawn."""
    model = recipe.model
    return MaskedAutoencoder(
        vit_config(recipe, tubelet=model.tubelet),
        decoder_dim=model.decoder_dim,
        decoder_depth=model.decoder_depth,
        decoder_heads=model.decoder_heads,
    )


def build_method(recipe: Recipe) -> VideoMae:
    """Return the method of a recipe, its weights drawn from the recipe's seed.

    Raises:
        UsageError: the recipe does not read the frames, or contradicts itself.
    """
    column_of_kind(recipe, FRAMES)
    method = VideoMae(recipe)
    method.initialize(torch.Generator().manual_seed(recipe.train.seed))
    return method
