import json

import click
import pytest
from click.testing import CliRunner

from vfm import __version__
from vfm.cli.commands.recipes import command
from vfm.shards.errors import UsageError
from vfm.trainer.registry import from_dict, load_recipe, recipe_names


def invoke(*arguments):
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(command, words, catch_exceptions=False, standalone_mode=False).stdout


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


def test_prints_a_file_that_is_shown_and_compared_as_a_recipe_is(tmp_path):
    text = invoke("show", "umt-tiny", "--set", "optim.lr=2e-3", "--yaml")
    head = text.partition("\n\n")[0].replace("\n# ", " ")
    assert head == (
        f"# The recipe umt-tiny of vfm {__version__}, with optim.lr=2e-3. "
        "It is made for clips of 8 frames, from all over a video, of 160 px. "
        "It has 2.03 M parameters and computes 0.724 GFLOPs forward for one clip of 8 frames of 160 x 160 "
        "pixels (one multiply-add is 2 FLOPs, 160 of 800 tokens visible, heads for a teacher of 512 "
        "channels, without the teacher itself). "
        "Change values and the name as you like, and keep every key: vfm pretrain FILE.yaml DATA --out RUN"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("name: umt-tiny", "name: mine"))
    assert json.loads(invoke("show", path, "--json")) == {
        **json.loads(invoke("show", "umt-tiny", "--set", "optim.lr=2e-3", "--json")),
        "name": "mine",
    }
    lines = [line.split() for line in invoke("compare", "umt-tiny", path).splitlines()]
    assert lines == [["key", "umt-tiny", str(path)], ["optim.lr", "0.001", "0.002"]]
    assert invoke("compare", path, path) == f"{path} and {path} have the same numbers.\n"
    with pytest.raises(
        UsageError, match=r"'mine' has no key 'optim.rl' .*`vfm recipes show RECIPE` lists all"
    ):
        invoke("show", path, "--set", "optim.rl=1")


def test_the_next_step_names_the_file(tmp_path):
    def said(*arguments):
        done = CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False)
        assert done.exception is None, done.exception
        return done.stderr

    assert said("show", "umt-tiny", "--yaml") == "next: vfm pretrain FILE.yaml DATA --out RUN\n"
    path = tmp_path / "my file.yml"
    path.write_text(invoke("show", "umt-tiny-classify", "--yaml"))
    told = f"next: vfm finetune classify DATA --init RUN --recipe '{path}' --out NEW_RUN\n"
    assert said("show", path) == told
    assert said("compare", "umt-tiny", path) == f"next: vfm recipes show '{path}'\n"


def test_control_characters_of_a_setting_stay_out_of_the_file(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text(invoke("show", "umt-tiny", "--set", "data.split=a\x1b[31m\nname: b", "--yaml"))
    assert json.loads(invoke("show", path, "--json"))["data"]["split"] == "a\x1b[31m\nname: b"


def test_size_is_counted_when_it_is_asked_for():
    plain, sized = (invoke("show", "videomae-tiny", *more) for more in ((), ("--size",)))
    assert sized.startswith(plain)
    assert sized.removeprefix(plain).startswith(
        "It has 0.564 M parameters and computes 0.0565 GFLOPs forward"
    )


@pytest.mark.parametrize("more", ["--yaml", "--size"])
def test_json_holds_the_numbers_alone(more):
    with pytest.raises(click.UsageError, match="--json gives the numbers alone: leave out --yaml and --size"):
        invoke("show", "umt-tiny", "--json", more)


def loaded_by(*arguments):
    """Return which heavy libraries a command has loaded."""
    import subprocess
    import sys

    code = (
        "import sys; from click.testing import CliRunner; from vfm.cli.main import group;"
        "assert CliRunner().invoke(group, ['recipes', *sys.argv[1:]]).exit_code == 0;"
        "print(*(m for m in ('torch', 'pyarrow', 'av') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_listing_imports_no_torch():
    assert loaded_by() == []


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_showing_numbers_imports_no_torch(more):
    assert "torch" not in loaded_by("show", "umt-base", *more)
