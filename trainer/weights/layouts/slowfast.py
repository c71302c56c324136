"""PySlowFast (`facebookresearch/SlowFast`): MaskFeat's checkpoints, whose names vfm's network has too."""

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.files import State
from vfm.trainer.weights.hog_kernels import sobel
from vfm.trainer.weights.layout import Layout, Renamed


def _constants(_recipe: Recipe) -> State:
    across, down = sobel()
    return {"hogs.0.weight_x": across, "hogs.0.weight_y": down}


LAYOUTS = (
    Layout(
        name="slowfast",
        method="maskfeat",
        task=None,
        container="model_state",
        marks=("cls_token", "mask_token", "patch_embed.proj.weight", "pred_head.projections.0.weight"),
        constants=_constants,
    ),
    Layout(
        name="slowfast",
        method="maskfeat",
        task="classify",
        container="model_state",
        marks=(
            "cls_token",
            "patch_embed.proj.weight",
            "blocks.0.attn.pool_q.weight",
            "head.projection.weight",
        ),
        renamed=lambda _recipe: (
            Renamed(theirs="head.projection.", ours="cls_fc."),
            Renamed(theirs="", ours="backbone."),
        ),
        settings=("model.pooling=mean", "model.views=slowfast"),
    ),
)
