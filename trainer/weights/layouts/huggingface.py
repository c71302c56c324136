"""Hugging Face `transformers`: VideoMAE, in folders with a ``config.json``."""

from collections.abc import Sequence
from dataclasses import replace

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.files import State
from vfm.trainer.weights.layout import Layout, Parted, Renamed, sizes_from, sizes_of
from vfm.trainer.weights.options import Options

_ENCODER = {
    "model.image_px": "image_size",
    "model.patch_px": "patch_size",
    "model.tubelet": "tubelet_size",
    "model.dim": "hidden_size",
    "model.depth": "num_hidden_layers",
    "model.num_heads": "num_attention_heads",
    "data.clip_len": "num_frames",
}
_DECODER = {
    "model.decoder_dim": "decoder_hidden_size",
    "model.decoder_depth": "decoder_num_hidden_layers",
    "model.decoder_heads": "decoder_num_attention_heads",
}
_PRETRAINED = _ENCODER | _DECODER | {"objective.normalise_target": "norm_pix_loss"}
# Within a block: what it is called there and here.
_IN_BLOCK = {
    "attention.output.dense.": "attn.proj.",
    "attention.attention.": "attn.",
    "intermediate.dense.": "mlp.fc1.",
    "output.dense.": "mlp.fc2.",
    "layernorm_before.": "norm1.",
    "layernorm_after.": "norm2.",
}
# Files that transformers 5 has saved call the biases so, in place of q_bias and v_bias.
_BIASES = {"attention.attention.query.bias": "attn.q_bias", "attention.attention.value.bias": "attn.v_bias"}
_COUNTED = "LABEL_"  # what transformers calls classes without names, before their number
_PRODUCTS = Parted(ours=".qkv.weight", theirs=(".query.weight", ".key.weight", ".value.weight"))


def _blocks(theirs: str, ours: str) -> tuple[Renamed, ...]:
    return tuple(
        Renamed(theirs=f"{theirs}.{{}}.{there}", ours=f"{ours}.{{}}.{here}")
        for there, here in _IN_BLOCK.items()
    )


def _pretraining(_recipe: Recipe) -> Sequence[Renamed]:
    return (
        *_blocks("videomae.encoder.layer", "encoder.blocks"),
        *_blocks("decoder.decoder_layers", "decoder.blocks"),
        Renamed(theirs="videomae.embeddings.patch_embeddings.projection.", ours="encoder.patch_embed.proj."),
        Renamed(theirs="videomae.layernorm.", ours="encoder.norm."),
    )


def _classifier(_recipe: Recipe) -> Sequence[Renamed]:
    patches = "backbone.patch_embed.proj."
    return (
        *_blocks("videomae.encoder.layer", "backbone.blocks"),
        Renamed(theirs="videomae.embeddings.patch_embeddings.projection.", ours=patches),
        Renamed(theirs="fc_norm.", ours="backbone.fc_norm."),
        Renamed(theirs="classifier.", ours="cls_fc."),
    )


def _config(recipe: Recipe, state: State, classes: Sequence[str]) -> Options:
    """Return the ``config.json`` of a network; classes without known names are counted."""
    model = recipe.model
    fixed = {
        "model_type": "videomae",
        "num_channels": 3,
        "hidden_act": "gelu",
        "intermediate_size": 4 * model.dim,
        "decoder_intermediate_size": 4 * model.decoder_dim,
        "qkv_bias": True,
        "layer_norm_eps": 1e-6,
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
        **sizes_of(recipe, _ENCODER | _DECODER),
    }
    if recipe.task is None:
        # Without mean pooling the encoder ends with its norm, as in pretraining it does.
        own = {"architectures": ["VideoMAEForPreTraining"], "use_mean_pooling": False}
        return {**own, **fixed, **sizes_of(recipe, _PRETRAINED)}
    names = classes or [f"{_COUNTED}{i}" for i in range(len(state["cls_fc.weight"]))]
    return {
        "architectures": ["VideoMAEForVideoClassification"],
        **fixed,
        "use_mean_pooling": True,
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def _classes(options: Options) -> Sequence[str]:
    found = options.get("id2label")
    labels = found if isinstance(found, dict) else {}
    names = [str(labels.get(str(i), _COUNTED)) for i in range(len(labels))]
    return () if all(name.startswith(_COUNTED) for name in names) else names


_PRETRAINING = Layout(
    name="huggingface",
    method="videomae",
    task=None,
    container="",
    marks=(
        "videomae.embeddings.patch_embeddings.projection.weight",
        "videomae.encoder.layer.0.attention.attention.q_bias",
        "encoder_to_decoder.weight",
    ),
    renamed=_pretraining,
    parted=(_PRODUCTS,),
    sizes=lambda options: sizes_from(options, _PRETRAINED),
    folder="model.safetensors",
    options=_config,
)
_CLASSIFIER = replace(
    _PRETRAINING,
    task="classify",
    marks=(*_PRETRAINING.marks[:2], "fc_norm.weight", "classifier.weight"),
    renamed=_classifier,
    sizes=lambda options: sizes_from(options, _ENCODER),
    classes=_classes,
)


def _with_biases_of_version_5(layout: Layout, *stacks: tuple[str, str]) -> Layout:
    def renamed(recipe: Recipe) -> Sequence[Renamed]:
        biases = (
            Renamed(theirs=f"{theirs}.{{}}.{there}", ours=f"{ours}.{{}}.{here}")
            for theirs, ours in stacks
            for there, here in _BIASES.items()
        )
        return (*biases, *layout.renamed(recipe))

    marks = (mark.replace("attention.q_bias", "attention.query.bias") for mark in layout.marks)
    return replace(layout, marks=tuple(marks), renamed=renamed)


# Weights are written under the names of the published files, which every version of transformers loads.
LAYOUTS = (
    _PRETRAINING,
    _CLASSIFIER,
    _with_biases_of_version_5(
        _PRETRAINING,
        ("videomae.encoder.layer", "encoder.blocks"),
        ("decoder.decoder_layers", "decoder.blocks"),
    ),
    _with_biases_of_version_5(_CLASSIFIER, ("videomae.encoder.layer", "backbone.blocks")),
)
