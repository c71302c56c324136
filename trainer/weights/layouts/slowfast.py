"""PySlowFast (`facebookresearch/SlowFast`): MaskFeat's checkpoints, whose names vfm's network has too."""

from vfm.trainer.weights.layout import Layout, Renamed

LAYOUTS = (
    Layout(
        name="slowfast",
        method="maskfeat",
        task=None,
        container="model_state",
        renamed=(),
        constants=("hogs.",),
    ),
    Layout(
        name="slowfast",
        method="maskfeat",
        task="classify",
        container="model_state",
        renamed=(
            Renamed(theirs="head.projection.", ours="cls_fc."),
            Renamed(theirs="", ours="backbone."),
        ),
    ),
)
