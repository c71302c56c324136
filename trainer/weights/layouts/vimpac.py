"""VIMPAC (`airsplay/vimpac`): its names are those of vfm's networks; ``args.pickle`` tells their sizes."""

from collections.abc import Mapping, Sequence
from functools import partial

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.files import State
from vfm.trainer.weights.layout import Layout, sizes_from, sizes_of
from vfm.trainer.weights.options import Options

_MODEL = "efflayout"  # stands before the layout of attention blocks
_PX_PER_CODE = 8
_CHANNELS_PER_HEAD = 64
_BACKBONE = {
    "model.pos_emb": "pos_emb",
    "model.pre_activation": "pre_activation",
    "model.num_layers": "layers",
    "model.dim": "hid_dim",
    "model.halve_mlp": "halve_mlp",
    "model.halve_att": "halve_att",
    "model.frame_px": "frame_size",
    "data.clip_len": "clip_len",
}
_CLIP_HEAD = {
    "model.nce_proj_layers": "nce_proj_layers",
    "model.nce_proj_dim": "nce_proj_hid_dim",
}


def _sizes(options: Options, names: Mapping[str, str]) -> Sequence[str]:
    model = options.get("model")
    layout = [f"model.layout={model.removeprefix(_MODEL)}"] if isinstance(model, str) else []
    heads = ["model.num_heads=none"] if "hid_dim" in options else []
    return (*layout, *heads, *sizes_from(options, names))


def _arguments(recipe: Recipe, state: State, _classes: Sequence[str]) -> Options:
    """Return what the fine-tuner of VIMPAC takes from ``args.pickle``.

    Raises:
        UsageError: the network has another number of heads than VIMPAC's for its width.
    """
    model = recipe.model
    theirs = model.dim // _CHANNELS_PER_HEAD
    if model.heads != theirs:
        raise UsageError(
            f"vimpac computes with {theirs} heads for model.dim={model.dim} and these weights were trained "
            f"with {model.heads}: they would not say the same there; train with --set model.num_heads=none, "
            "or choose another --to."
        )
    found = sizes_of(recipe, _BACKBONE | _CLIP_HEAD) | {"model": f"{_MODEL}{model.layout}"}
    rows = state.get("backbone.positional_embedding.height_pos_embedding")
    return found if rows is None else {**found, "frame_size": _PX_PER_CODE * len(rows)}


def _layout(task: str | None, *marks: str) -> Layout:
    return Layout(
        name="vimpac",
        method="vimpac",
        task=task,
        container="",
        marks=(
            "backbone.cls_param",
            "backbone.embedding.weight",
            "backbone.transformer.resblocks.0.mlp.c_fc.weight",
            *marks,
        ),
        sizes=partial(_sizes, names=_BACKBONE if task else _BACKBONE | _CLIP_HEAD),
        folder="classifier.pt",
        options=_arguments,
    )


LAYOUTS = (
    _layout(None, "mlm_head.bias", "cls_head.mlp.linear_0.weight"),
    _layout("classify", "cls_fc.weight"),
)
