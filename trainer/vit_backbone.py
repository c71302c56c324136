"""The video transformer as VideoMAE and UMT finetune it and look at it: one vector a clip."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vfm.shards.errors import UsageError
from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.method import Backbone
from vfm.trainer.models.pooled_vit import PooledVit, draw_head, encoder_state
from vfm.trainer.models.vit import VitConfig, initialize_vit
from vfm.trainer.recipes.encoder import EncoderSizes
from vfm.trainer.recipes.recipe import Recipe


class VitBackbone(PooledVit, Backbone):
    """The encoder's mean over tokens, normalized.

    Args:
        config: sizes.
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__(config)
        self.dim = config.dim

    @property
    def num_tokens(self) -> int:
        """Return the tokens of a clip."""
        return self.config.num_tokens

    def features(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float [B, D].

        Args:
            batch: `clip`, uint8 [B, T, S, S, 3].
        """
        found: Tensor = self(normalize(to_float(batch["clip"])))
        return found

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Take the encoder of a pretraining or finetuning state; ``fc_norm`` stays new unless it is there.

        Raises:
            UsageError: the state is of another encoder.
        """
        found, own = encoder_state(state), self.state_dict()
        wanted = {name for name in own if name in found or not name.startswith("fc_norm.")}
        shapes = {name: tuple(found[name].shape) for name in found}
        for name in sorted(wanted | found.keys()):
            expected = tuple(own[name].shape) if name in own else "absent"
            if shapes.get(name, "absent") != expected:
                raise UsageError(
                    f"The weights are of another model: {name} is {shapes.get(name, 'absent')} and here "
                    f"{expected}; use the recipe they were trained with."
                )
        self.load_state_dict(found, strict=False)

    def draw_head(self, head: nn.Linear, *, generator: torch.Generator) -> None:
        """Draw the first weights of a classifier, as the published code does: very small."""
        draw_head(head, generator=generator)

    def no_weight_decay(self, name: str) -> bool:
        """Return whether this parameter is kept out of weight decay: vectors."""
        return is_vector(name)

    def layers_above(self, name: str) -> int:
        """Return which layer a parameter is in, counted from the output."""
        room, _, rest = name.partition(".")
        match room:
            case "patch_embed":
                return len(self.blocks) + 1
            case "blocks":
                return len(self.blocks) - int(rest.partition(".")[0])
        return 0


def is_vector(name: str) -> bool:
    """Return whether the parameter of this name is a bias or the weight of a norm."""
    return name.endswith("bias") or "norm" in name


def vit_config(recipe: Recipe, *, tubelet: int) -> VitConfig:
    """Return the sizes of the encoder of a recipe.

    Args:
        recipe: its model is an `EncoderSizes`.
        tubelet: frames of a token.

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
    )


def build_backbone(config: VitConfig, *, seed: int) -> VitBackbone:
    """Return an encoder alone, its weights drawn from a seed."""
    backbone = VitBackbone(config)
    initialize_vit(backbone, generator=torch.Generator().manual_seed(seed), linear="truncated")
    return backbone
