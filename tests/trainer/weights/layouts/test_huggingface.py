"""Weights are written as transformers keeps them, in every detail that its names and sizes have."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from support.fixtures import classified, network_of, read_fixture
from support.weights import random_state
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights import layouts
from vfm.trainer.weights.files import WeightsFile
from vfm.trainer.weights.imported import import_weights

TESTS = Path(__file__).parents[3]
# A network of no recipe: config.json alone tells it.
SIZES = (
    "model.image_px=32",
    "model.patch_px=16",
    "model.dim=24",
    "model.depth=2",
    "model.num_heads=4",
    "data.clip_len=6",
)
DECODER = ("model.decoder_dim=12", "model.decoder_depth=1", "model.decoder_heads=2")


def layouts_of(task):
    found = [each for each in layouts.load_all() if (each.name, each.task) == ("huggingface", task)]
    assert len(found) == 2  # as published, and with the biases of version 5
    return found


def test_names_of_pretraining():
    recipe = override(load_recipe("videomae-tiny"), (*SIZES, *DECODER))
    state = random_state(recipe)
    theirs = layouts_of(None)[0].to_theirs(state, recipe)
    layer = "videomae.encoder.layer.1"
    ours = "encoder.blocks.1"
    q, k, v = state[f"{ours}.attn.qkv.weight"].split(24)
    for name, tensor in {
        "videomae.embeddings.patch_embeddings.projection.weight": state["encoder.patch_embed.proj.weight"],
        f"{layer}.attention.attention.query.weight": q,
        f"{layer}.attention.attention.key.weight": k,
        f"{layer}.attention.attention.value.weight": v,
        f"{layer}.attention.attention.q_bias": state[f"{ours}.attn.q_bias"],
        f"{layer}.attention.attention.v_bias": state[f"{ours}.attn.v_bias"],
        f"{layer}.attention.output.dense.weight": state[f"{ours}.attn.proj.weight"],
        f"{layer}.intermediate.dense.bias": state[f"{ours}.mlp.fc1.bias"],
        f"{layer}.output.dense.weight": state[f"{ours}.mlp.fc2.weight"],
        f"{layer}.layernorm_before.weight": state[f"{ours}.norm1.weight"],
        f"{layer}.layernorm_after.bias": state[f"{ours}.norm2.bias"],
        "videomae.layernorm.weight": state["encoder.norm.weight"],
        "encoder_to_decoder.weight": state["encoder_to_decoder.weight"],
        "mask_token": state["mask_token"],
        "decoder.decoder_layers.0.output.dense.bias": state["decoder.blocks.0.mlp.fc2.bias"],
        "decoder.norm.weight": state["decoder.norm.weight"],
        "decoder.head.bias": state["decoder.head.bias"],
    }.items():
        assert torch.equal(theirs.pop(name), tensor), name
    rest = (
        "videomae.encoder.layer.",
        "decoder.decoder_layers.0.",
        "videomae.embeddings.",
        "videomae.layernorm.",
    )
    assert all(
        name.startswith(rest) or name in ("decoder.norm.bias", "decoder.head.weight") for name in theirs
    )


@pytest.mark.parametrize("task", [None, "classify"])
@pytest.mark.parametrize("version", [4, 5])
def test_a_network_of_no_recipe_is_told_by_its_options(tmp_path, task, version):
    settings = SIZES if task else (*SIZES, *DECODER)
    recipe = override(load_recipe("videomae-base-classify" if task else "videomae-base"), settings)
    state = random_state(recipe)
    layout = layouts_of(task)[version - 4]
    classes = ("a", "b", "c") if task else ()
    options = json.loads(json.dumps(layout.options(recipe, state, classes)))
    theirs = layout.to_theirs(state, recipe)
    assert any(name.endswith("0.attention.attention.q_bias") for name in theirs) == (version == 4)
    assert any(name.endswith("0.attention.attention.query.bias") for name in theirs) == (version == 5)

    found = import_weights(WeightsFile(path=tmp_path, tensors=theirs, options=options))
    assert (found.project, found.recipe.model, found.recipe.data.clip_len) == ("huggingface", recipe.model, 6)
    assert (found.classes, found.left_out) == (classes, ())
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[name], tensor) for name, tensor in state.items())
    assert "model.image_px=32" in found.told


def test_classes_without_names_are_not_known(tmp_path):
    recipe = load_recipe("videomae-tiny-classify")
    state = random_state(recipe)
    layout = layouts_of("classify")[0]
    options = layout.options(recipe, state, ())
    assert options["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    file = WeightsFile(path=tmp_path, tensors=layout.to_theirs(state, recipe), options=options)
    assert import_weights(file).classes == ()


def test_parts_that_do_not_fit_together_are_told(tmp_path):
    recipe = load_recipe("videomae-tiny")
    theirs = layouts_of(None)[0].to_theirs(random_state(recipe), recipe)
    theirs["videomae.encoder.layer.0.attention.attention.key.weight"] = torch.zeros(2, 2)
    del theirs["decoder.decoder_layers.1.attention.attention.value.weight"]
    with pytest.raises(
        Exception, match=r"layer.0.attention.attention.key.weight \(2, 2\), not \(96, 96\)"
    ) as told:
        import_weights(WeightsFile(path=tmp_path, tensors=theirs), name="videomae-tiny")
    assert "missing: decoder.decoder_layers.1.attention.attention.value.weight" in str(told.value)


@pytest.mark.parametrize("task", [None, "classify"])
@torch.no_grad()
def test_files_of_transformers_say_what_they_say_there(task):
    fixture = read_fixture(TESTS, f"huggingface_videomae_{task or 'pretrain'}")
    found = import_weights(replace(fixture.file(), options=fixture.config))
    assert (found.project, found.recipe.task, found.left_out) == ("huggingface", task, ())
    assert found.classes == (("walk", "run", "jump") if task else ())
    clips = fixture.tensors["input/videos"].transpose(1, 2)
    if task:
        fixture.expect("logits", classified(found, network_of(found)(clips)))
    else:
        fixture.expect("logits", network_of(found)(clips, fixture.tensors["input/mask"]))
