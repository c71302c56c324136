"""MMSelfSup and MMPretrain (`projects/maskfeat_video`): MaskFeat's pretraining."""

from collections.abc import Sequence

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.files import State
from vfm.trainer.weights.hog_kernels import gaussian, sobel
from vfm.trainer.weights.layout import Layout, Renamed


def _renamed(recipe: Recipe) -> Sequence[Renamed]:
    # A norm is named after the stage that it stands behind.
    norm = f"backbone.norm{len(recipe.model.pools_at)}."
    return (
        Renamed(theirs="neck.fc.", ours="pred_head.projections.0."),
        Renamed(theirs=norm, ours="pred_head.transforms.0.0."),
        Renamed(theirs="backbone.patch_embed.projection.", ours="patch_embed.proj."),
        Renamed(theirs="backbone.", ours=""),
    )


def _constants(_recipe: Recipe) -> State:
    across, down = sobel()
    kernels = {"weight_x": across, "weight_y": down, "gaussian_kernel": gaussian()}
    return {f"target_generator.{name}": kernel for name, kernel in kernels.items()}


LAYOUTS = (
    Layout(
        name="mmselfsup",
        method="maskfeat",
        task=None,
        container="state_dict",
        marks=(
            "backbone.cls_token",
            "backbone.mask_token",
            "backbone.patch_embed.projection.weight",
            "neck.fc.weight",
        ),
        renamed=_renamed,
        settings=("objective.hog=mmselfsup",),
        constants=_constants,
    ),
)
