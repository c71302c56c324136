"""``vfm export`` writes a folder and says what it is."""

import json

import pytest
from click.testing import CliRunner

import vfm
from support.weights import random_state
from vfm.cli.commands.export import command
from vfm.shards.errors import UsageError
from vfm.trainer.export import program
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.about import AboutWeights
from vfm.trainer.weights.files import write_weights


@pytest.fixture
def classifier(tmp_path):
    recipe = load_recipe("videomae-tiny-classify")
    state = {key: 0.1 * tensor for key, tensor in random_state(recipe).items()}
    said = AboutWeights(recipe=recipe, made_from="vfm", classes=("a", "b", "c"))
    write_weights(tmp_path / "x.safetensors", state, container="", metadata=said.to_metadata())
    return tmp_path / "x.safetensors"


def export(*arguments):
    line = list(map(str, arguments))
    return CliRunner().invoke(command, line, catch_exceptions=False, standalone_mode=False)


def test_a_folder_with_a_program(classifier, tmp_path):
    done = export(classifier, tmp_path / "out", "--program", "--json")
    told = json.loads(done.stdout)
    assert told["files"] == ["README.md", "config.json", "model.pt2", "model.safetensors"]
    assert (told["num_classes"], told["num_features"], told["recipe"]) == (3, 96, "videomae-tiny-classify")
    assert 0 <= told["difference"] < 1e-5
    assert "a classifier of 3 classes with 0.5 M numbers, 96 for each clip" in done.stderr
    assert "differs by" in done.stderr
    assert vfm.from_pretrained(tmp_path / "out").classes == ("a", "b", "c")


def test_nothing_is_written_where_onnx_cannot_be(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="cannot be made without onnx"):
        export(classifier, tmp_path / "out", "--onnx")
    assert not (tmp_path / "out").exists()
