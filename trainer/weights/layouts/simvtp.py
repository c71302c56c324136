"""SimVTP (`wufeim/SimVTP`, the released code): its names are those of vfm's networks."""

from collections.abc import Sequence

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.layout import Layout, Renamed, sizes_from
from vfm.trainer.weights.options import Options

# The released code counts padding in the mean over a caption.
_SETTINGS = ("model.text_mean=all",)
# Older versions of transformers saved it: the numbers 0, 1, 2 and so on.
_POSITIONS = "text_embeddings.position_ids"


def _sizes(options: Options) -> Sequence[str]:
    """Return what the arguments of the training script tell that no shape does."""
    return sizes_from(options, {"model.image_px": "input_size"})


def _encoders(_recipe: Recipe) -> Sequence[Renamed]:
    return (Renamed(theirs="", ours="backbone."),)


LAYOUTS = (
    Layout(
        name="simvtp",
        method="simvtp",
        task=None,
        container="model",
        marks=(
            # Those of VideoMAE's pretraining, whose tensors are all there, and the words.
            "encoder.patch_embed.proj.weight",
            "encoder_to_decoder.weight",
            "decoder.head.weight",
            "text_embeddings.word_embeddings.weight",
        ),
        settings=_SETTINGS,
        spared=(_POSITIONS,),
        sizes=_sizes,
    ),
    Layout(
        name="simvtp",
        method="simvtp",
        task="retrieve",
        container="model",
        marks=(
            "video_encoder.patch_embed.proj.weight",
            "video_encoder.fc_norm.weight",
            "text_encoder.text_embeddings.word_embeddings.weight",
        ),
        renamed=_encoders,
        settings=_SETTINGS,
        spared=(f"video_encoder.{_POSITIONS}", f"text_encoder.{_POSITIONS}"),
        sizes=_sizes,
    ),
)
