import json

import pytest
from click.testing import CliRunner

from support.weights import random_state
from vfm.cli.commands.convert import command
from vfm.shards.errors import UsageError
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.about import about
from vfm.trainer.weights.exported import layout_for
from vfm.trainer.weights.files import read_weights, write_weights


def test_a_file_is_recognised_and_written_under_our_names(tmp_path):
    recipe = load_recipe("maskfeat-mvit-tiny")
    theirs = layout_for("mmselfsup", recipe).to_theirs(random_state(recipe), recipe)
    write_weights(tmp_path / "in.pth", theirs, container="state_dict", metadata={})
    arguments = [str(tmp_path / "in.pth"), str(tmp_path / "out.safetensors")]

    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False, standalone_mode=False)

    told = json.loads(done.stdout)
    assert (told["source"], told["target"], told["recipe"]) == ("mmselfsup", "vfm", "maskfeat-mvit-tiny")
    assert told["num_tensors"] == len(read_weights(tmp_path / "out.safetensors").tensors)
    assert "pretraining of method maskfeat as mmselfsup saves it" in done.stderr
    assert f"next: vfm finetune classify DATA --init {arguments[1]} --out RUN" in done.stderr


def test_names_of_classes_come_from_a_text_file(tmp_path):
    recipe = load_recipe("maskfeat-mvit-tiny-classify")
    theirs = layout_for("slowfast", recipe).to_theirs(random_state(recipe, num_classes=2), recipe)
    write_weights(tmp_path / "in.pyth", theirs, container="model_state", metadata={})
    arguments = ["in.pyth", "out.safetensors", "--classes", "names.txt"]
    arguments = [text if text.startswith("--") else str(tmp_path / text) for text in arguments]

    def converted(names):
        (tmp_path / "names.txt").write_bytes(names)
        return CliRunner().invoke(command, arguments, catch_exceptions=False, standalone_mode=False)

    for names, told in [
        (b"run\nwalk\nrun\n", "names.txt line 3 has the class 'run' of line 1 again"),
        (b"run\n\nwalk\n", "names.txt line 2 is blank"),
        (b"run\n\xff\n", "names.txt is not UTF-8 text"),
        (b"run\n", "--classes has 1 name for a head of 2 classes in .*in.pyth: give one for each"),
    ]:
        with pytest.raises(UsageError, match=told):
            converted(names)
    assert converted("zu Fuß\nrun\n\n".encode()).exit_code == 0
    assert about(read_weights(tmp_path / "out.safetensors")).classes == ("zu Fuß", "run")
    (tmp_path / "out.safetensors").unlink()
    assert converted(b"2 run\n1 walk\n").exit_code == 0
    assert about(read_weights(tmp_path / "out.safetensors")).classes == ("walk", "run")
