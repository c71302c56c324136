"""MMAction2: classifiers of MaskFeat, and its port of UMT's."""

from collections.abc import Sequence

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.layout import Layout, Renamed


def _renamed(recipe: Recipe) -> Sequence[Renamed]:
    # A norm is named after the stage that it stands behind.
    norm = f"backbone.norm{len(recipe.model.pools_at)}."
    return (
        Renamed(theirs="cls_head.fc_cls.", ours="cls_fc."),
        Renamed(theirs=norm, ours="backbone.norm."),
        Renamed(theirs="backbone.patch_embed.projection.", ours="backbone.patch_embed.proj."),
    )


LAYOUTS = (
    Layout(
        name="mmaction2",
        method="maskfeat",
        task="classify",
        container="state_dict",
        marks=(
            "backbone.cls_token",
            "backbone.patch_embed.projection.weight",
            "backbone.blocks.0.attn.pool_q.weight",
            "cls_head.fc_cls.weight",
        ),
        renamed=_renamed,
        settings=("model.pooling=class", "model.views=mmaction2"),
    ),
    Layout(
        name="mmaction2",
        method="umt",
        task="classify",
        container="state_dict",
        marks=("backbone.blocks.0.attn.q_bias", "backbone.fc_norm.weight", "cls_head.fc_cls.weight"),
        renamed=lambda _recipe: (Renamed(theirs="cls_head.fc_cls.", ours="cls_fc."),),
        settings=("model.views=mmaction2",),
    ),
)
