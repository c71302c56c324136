"""Encoders as modules: they say what their run says, and timm's tools take them as its own."""

import numpy as np
import pytest
import torch
from timm.optim import param_groups_layer_decay

from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.trainer import methods
from vfm.trainer.export.model import model_of
from vfm.trainer.recipes.probe import probing
from vfm.trainer.registry import load_recipe
from vfm.trainer.tasks.classify.classifier import Classify

TINY = ["vimpac-tiny", "umt-tiny", "maskfeat-mvit-tiny", "videomae-tiny"]


def drawn(name, *, classes=()):
    recipe = load_recipe(name)
    state = {key: 0.1 * tensor for key, tensor in random_state(recipe).items()}
    return model_of(recipe, state, classes=classes), recipe, state


@pytest.mark.parametrize("name", [f"{name}-classify" for name in TINY])
@torch.no_grad()
def test_a_classifier_says_what_the_task_of_its_run_says(name):
    model, recipe, state = drawn(name, classes=("a", "b", "c"))
    backbone = methods.load(recipe.method).build_encoder(recipe, state)
    task = Classify(backbone, num_classes=3, config=recipe.objective, prepare=None, seed=0).eval()
    task.load_state_dict(state)
    clips = model.backbone.example_inputs(2)
    wanted = task.cls_fc(task.backbone.pooled(task.backbone.encoded(clips)))
    torch.testing.assert_close(model(clips), wanted, rtol=0, atol=0)
    assert model.state_dict().keys() == state.keys()
    assert (model.num_classes, model.classes) == (3, ("a", "b", "c"))
    features = model.forward_head(model.forward_features(clips), pre_logits=True)
    assert features.shape == (2, model.num_features)
    torch.testing.assert_close(model.get_classifier()(features), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_an_encoder_of_pretraining_says_what_neighbours_are_told_by(name):
    model, recipe, state = drawn(name)
    backbone = methods.load(recipe.method).build_encoder(recipe, state)
    backbone.load_pretrained(state)
    clips = model.backbone.example_inputs(2)
    wanted = backbone.eval().pooled(backbone.encoded(clips))
    torch.testing.assert_close(model(clips), wanted, rtol=0, atol=0)
    assert (model.num_classes, model.classes) == (0, ())
    assert isinstance(model.get_classifier(), torch.nn.Identity)
    again = model_of(recipe, model.state_dict())  # as an exported folder has it
    torch.testing.assert_close(again(clips), wanted, rtol=0, atol=0)


@torch.no_grad()
def test_a_new_classifier_begins_as_finetuning_has_it():
    model, recipe, _ = drawn("videomae-tiny")
    model.reset_classifier(5)
    backbone = methods.load(recipe.method).build_encoder(recipe, {})
    task = Classify(
        backbone,
        num_classes=5,
        config=load_recipe("videomae-tiny-classify").objective,
        prepare=None,
        seed=recipe.train.seed,
    )
    assert torch.equal(model.cls_fc.weight, task.cls_fc.weight)
    assert model(model.backbone.example_inputs(1)).shape == (1, 5)
    model.reset_classifier(0)
    assert model(model.backbone.example_inputs(1)).shape == (1, model.num_features)
    with pytest.raises(ValueError, match="num_classes is -1"):
        model.reset_classifier(-1)


@pytest.mark.parametrize("name", [f"{name}-classify" for name in TINY])
def test_layer_decay_of_timm_is_that_of_our_finetuning(name):
    model, *_ = drawn(name)
    groups = param_groups_layer_decay(
        model, layer_decay=0.5, weight_decay=0.1, no_weight_decay_list=model.no_weight_decay()
    )
    scales = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for key, parameter in model.named_parameters():
        inner = key.removeprefix("backbone.")
        above = model.backbone.layers_above(inner) if inner != key else 0
        assert scales[id(parameter)] == 0.5**above, key
        if inner != key and model.backbone.no_weight_decay(inner):
            assert decays[id(parameter)] == 0.0, key


def test_frames_become_what_a_test_of_the_encoder_sees():
    model, recipe, _ = drawn("umt-tiny-classify")
    frames = np.random.default_rng(0).integers(0, 256, (recipe.data.clip_len, 90, 120, 3), np.uint8)
    reader = methods.load("umt").build_clip_reader(recipe, None)
    square = reader.cut(frames, crop_px=160, num_crops=1)[0]
    wanted = (torch.from_numpy(square).permute(3, 0, 1, 2) / 255 - 0.45) / 0.225
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    wanted = (torch.from_numpy(square) / 255 - mean) / std
    found = model.transform(frames)
    assert (model.transform.num_frames, model.transform.size_px) == (recipe.data.clip_len, 160)
    torch.testing.assert_close(found, wanted.permute(3, 0, 1, 2))
    torch.testing.assert_close(model.transform(list(frames)), found, rtol=0, atol=0)
    for wrong in (frames[:3], frames.astype(np.float32), frames[..., :1], frames[0]):
        with pytest.raises(UsageError, match=r"but must be uint8 \[8, height, width, 3\]"):
            model.transform(wrong)


def test_what_has_no_frames_or_no_one_head_is_told():
    model, *_ = drawn("vimpac-tiny")
    with pytest.raises(UsageError, match=r"vimpac-tiny reads vq.\* and no frames: make this column"):
        _ = model.transform
    probe = probing(load_recipe("umt-tiny"), "linear")
    with pytest.raises(UsageError, match="is a probe, many heads on the encoder of a run"):
        model_of(probe, {})
