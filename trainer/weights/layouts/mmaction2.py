"""MMAction2: classifiers, MaskFeat's among them."""

from vfm.trainer.weights.layout import Layout, Renamed

LAYOUTS = (
    Layout(
        name="mmaction2",
        method="maskfeat",
        task="classify",
        container="state_dict",
        renamed=(
            Renamed(theirs="cls_head.fc_cls.", ours="cls_fc."),
            # A norm is named after the stage that it stands behind.
            Renamed(theirs="backbone.norm{stages}.", ours="backbone.norm."),
            Renamed(theirs="backbone.patch_embed.projection.", ours="backbone.patch_embed.proj."),
            Renamed(theirs="backbone.", ours="backbone."),
        ),
    ),
)
