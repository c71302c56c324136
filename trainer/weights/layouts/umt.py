"""UMT (`OpenGVLab/unmasked_teacher`, single modality): its names are those of vfm's networks."""

from collections.abc import Sequence

from vfm.trainer.weights.layout import Layout, classifier_names, sizes_from
from vfm.trainer.weights.options import Options


def _sizes(options: Options) -> Sequence[str]:
    """Return what the arguments of the training script tell that no shape does."""
    return sizes_from(options, {"model.image_px": "input_size"})


LAYOUTS = (
    Layout(
        name="umt",
        method="umt",
        task=None,
        container="model",
        marks=("encoder.patch_embed.proj.weight", "encoder.norm.weight", "clip_decoder.0.head.weight"),
        sizes=_sizes,
    ),
    Layout(
        name="umt",
        method="umt",
        task="classify",
        container="model",
        marks=("patch_embed.proj.weight", "blocks.0.attn.q_bias", "fc_norm.weight", "head.weight"),
        renamed=classifier_names,
        sizes=_sizes,
        settings=("model.views=umt",),
    ),
)
