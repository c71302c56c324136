import json

import pytest
from click.testing import CliRunner

from vfm.cli.commands.recipes import command
from vfm.shards.errors import UsageError
from vfm.trainer.registry import from_dict, load_recipe, recipe_names


def invoke(*arguments):
    return CliRunner().invoke(command, arguments, catch_exceptions=False, standalone_mode=False).stdout


def test_lists_every_recipe():
    lines = invoke().splitlines()
    assert lines[0].split() == ["recipe", "method", "task", "epochs", "batch", "lr"]
    assert [line.split()[0] for line in lines[1:]] == recipe_names()


def test_list_as_json():
    told = {entry["recipe"]: entry for entry in json.loads(invoke("--json"))}
    assert told["vimpac-small"]["batch"] == 1024
    assert told["vimpac-tiny-classify"]["task"] == "classify"


def test_shows_each_number_as_set_takes_it():
    table, _, needs = invoke("show", "vimpac-small").partition("\n\n")
    rows = dict(line.split(maxsplit=1) for line in table.splitlines()[1:])
    assert needs == "It is made for clips of 5 frames, 0.5 s apart, of 128 px.\n"
    assert rows["optim.betas"] == "0.9,0.98"
    assert rows["train.max_steps"] == "none"
    assert rows["model.halve_att"] == "false"


def test_shows_what_set_makes_of_it():
    told = json.loads(invoke("show", "vimpac-tiny", "--set", "optim.lr=0.5", "--json"))
    assert from_dict(told).optim.lr == 0.5
    assert from_dict(told).model == load_recipe("vimpac-tiny").model


def test_unknown_name():
    with pytest.raises(UsageError, match="Unknown recipe 'vimpac'"):
        invoke("show", "vimpac")


def test_compares_two():
    lines = [line.split() for line in invoke("compare", "umt-base", "umt-large").splitlines()]
    assert lines == [
        ["key", "umt-base", "umt-large"],
        ["model.dim", "768", "1024"],
        ["model.depth", "12", "24"],
        ["model.num_heads", "12", "16"],
        ["model.drop_path", "0.1", "0.2"],
    ]
    told = json.loads(invoke("compare", "umt-base", "umt-large", "--json"))
    assert told[0] == {"key": "model.dim", "umt-base": 768, "umt-large": 1024}
    assert len(told) == 4


def test_a_key_that_one_of_two_has_not():
    rows = {
        line.split()[0]: line.split()[1:]
        for line in invoke("compare", "videomae-base", "umt-base").splitlines()
    }
    assert rows["model.tubelet"] == ["2", "-"]
    assert rows["model.pretrained_grid"] == ["-", "none"]
    assert rows["method"] == ["videomae", "umt"]
    told = {row["key"]: row for row in json.loads(invoke("compare", "videomae-base", "umt-base", "--json"))}
    assert told["model.tubelet"] == {"key": "model.tubelet", "videomae-base": 2}


def test_equal_recipes_are_said_to_be():
    assert invoke("compare", "umt-base", "umt-base") == "umt-base and umt-base have the same numbers.\n"
    assert json.loads(invoke("compare", "umt-base", "umt-base", "--json")) == []
    with pytest.raises(UsageError, match=r"Unknown recipe 'umt-bass' \(nearest: umt-base"):
        invoke("compare", "umt-base", "umt-bass")


def test_listing_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from click.testing import CliRunner; from vfm.cli.main import group;"
        "assert CliRunner().invoke(group, ['recipes']).exit_code == 0;"
        "print([m for m in ('torch', 'pyarrow', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
