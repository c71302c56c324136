import json

from click.testing import CliRunner

from support.weights import random_state
from vfm.cli.commands.convert import command
from vfm.trainer.registry import load_recipe
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
