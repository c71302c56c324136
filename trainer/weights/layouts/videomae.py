"""VideoMAE (`MCG-NJU/VideoMAE`): its names are those of vfm's networks."""

from vfm.trainer.weights.layout import Layout, classifier_names

LAYOUTS = (
    Layout(
        name="videomae",
        method="videomae",
        task=None,
        container="model",
        marks=("encoder.patch_embed.proj.weight", "encoder_to_decoder.weight", "decoder.head.weight"),
    ),
    Layout(
        name="videomae",
        method="videomae",
        task="classify",
        container="model",
        marks=("patch_embed.proj.weight", "blocks.0.attn.q_bias", "fc_norm.weight", "head.weight"),
        renamed=classifier_names,
    ),
)
