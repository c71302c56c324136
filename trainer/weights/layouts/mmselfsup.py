"""MMSelfSup and MMPretrain (`projects/maskfeat_video`): MaskFeat's pretraining."""

from vfm.trainer.weights.layout import Layout, Renamed

LAYOUTS = (
    Layout(
        name="mmselfsup",
        method="maskfeat",
        task=None,
        container="state_dict",
        renamed=(
            Renamed(theirs="neck.fc.", ours="pred_head.projections.0."),
            # A norm is named after the stage that it stands behind.
            Renamed(theirs="backbone.norm{stages}.", ours="pred_head.transforms.0.0."),
            Renamed(theirs="backbone.patch_embed.projection.", ours="patch_embed.proj."),
            Renamed(theirs="backbone.", ours=""),
        ),
        constants=("target_generator.",),
    ),
)
