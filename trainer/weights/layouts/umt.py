"""UMT (`OpenGVLab/unmasked_teacher`, single modality): its names are those of vfm's networks."""

from vfm.trainer.weights.layout import Layout, classifier_names

LAYOUTS = (
    Layout(
        name="umt",
        method="umt",
        task=None,
        container="model",
        marks=("encoder.patch_embed.proj.weight", "encoder.norm.weight", "clip_decoder.0.head.weight"),
    ),
    Layout(
        name="umt",
        method="umt",
        task="classify",
        container="model",
        marks=("patch_embed.proj.weight", "blocks.0.attn.q_bias", "fc_norm.weight", "head.weight"),
        renamed=classifier_names,
        settings=("model.views=umt",),
    ),
)
