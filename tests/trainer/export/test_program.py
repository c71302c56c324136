"""Programs say what their model says, of any number of clips, or are not written."""

import importlib.util

import pytest
import torch

from support.weights import random_state
from vfm.shards.errors import UsageError
from vfm.trainer.export import program
from vfm.trainer.export.model import model_of
from vfm.trainer.export.program import ProgramDiffersError, write_onnx, write_program
from vfm.trainer.registry import load_recipe


def drawn(name):
    recipe = load_recipe(name)
    return model_of(recipe, {key: 0.1 * tensor for key, tensor in random_state(recipe).items()})


@pytest.mark.parametrize("name", ["videomae-tiny-classify", "vimpac-tiny", "maskfeat-mvit-tiny"])
@torch.no_grad()
def test_a_program_says_what_the_model_says(tmp_path, name):
    model = drawn(name)
    assert write_program(model, tmp_path / "new/model.pt2") < 1e-5
    loaded = torch.export.load(tmp_path / "new/model.pt2").module()
    for num_clips in (1, 4):
        clips = model.backbone.example_inputs(num_clips)
        torch.testing.assert_close(loaded(clips), model(clips))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt2"]


def test_a_program_that_says_something_else_is_not_written(tmp_path, monkeypatch):
    model = drawn("videomae-tiny")
    monkeypatch.setattr(program, "_program_of", lambda _model: exported(drawn_otherwise()))
    with pytest.raises(ProgramDiffersError, match="would say something else than the model, by up to"):
        write_program(model, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def drawn_otherwise():
    recipe = load_recipe("videomae-tiny")
    return model_of(recipe, {key: 0.1 * tensor for key, tensor in random_state(recipe, seed=1).items()})


def exported(model):
    clips = model.backbone.example_inputs(2)
    return torch.export.export(model, (clips,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))


def test_onnx_needs_its_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="made without onnx, onnxscript, onnxruntime: `pip install"):
        write_onnx(drawn("videomae-tiny"), tmp_path / "model.onnx")


@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="onnxscript is not installed")
def test_onnx_says_what_the_model_says(tmp_path):
    assert write_onnx(drawn("videomae-tiny"), tmp_path / "model.onnx") < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
