import json

import click
import pytest
from click.testing import CliRunner

from vfm.cli.commands import finetune, pretrain
from vfm.shards.errors import UsageError

SHRUNK = (
    "model.num_layers=1",
    "model.dim=16",
    "model.num_heads=2",
    "model.nce_proj_dim=8",
    "data.clip_len=3",
)
SETTINGS = [part for setting in SHRUNK for part in ("--set", setting)]
QUICK = ["--batch-size", "4", "--steps", "2", "--device", "cpu"]


def invoke(command, *arguments):
    return CliRunner().invoke(
        command, [*map(str, arguments), *QUICK], catch_exceptions=False, standalone_mode=False
    )


@pytest.fixture
def data(toy_dataset):
    return toy_dataset()


def test_from_a_run_and_again(data, tmp_path):
    invoke(pretrain.command, "vimpac-tiny", data, "--out", tmp_path / "pre", *SETTINGS)
    arguments = ("classify", data, "--init", tmp_path / "pre", "--out", tmp_path / "fine")
    done = invoke(finetune.command, *arguments, "--json")
    assert done.return_value == 0
    assert json.loads(done.stdout)["last"].keys() >= {"loss", "accuracy", "lr"}
    told = json.loads((tmp_path / "fine" / "run.json").read_text())
    assert told["recipe"]["data"]["split"] == "train"
    assert told["origin"]["step"] == 2
    assert "Already trained to the end" in invoke(finetune.command, *arguments).stderr


def test_from_scratch(data, tmp_path):
    scratch = ("classify", data, "--recipe", "vimpac-tiny", "--out", tmp_path / "fine", *SETTINGS)
    assert invoke(finetune.command, *scratch).return_value == 0
    assert json.loads((tmp_path / "fine" / "run.json").read_text())["origin"] == {}


def test_split_none_takes_every_sample(data, tmp_path):
    invoke(
        finetune.command,
        *("classify", data, "--recipe", "vimpac-tiny", "--out", tmp_path / "fine", "--split", "none"),
        *SETTINGS,
    )
    assert json.loads((tmp_path / "fine" / "run.json").read_text())["recipe"]["data"]["split"] is None


def test_a_start_is_asked_for(data, tmp_path):
    with pytest.raises(click.UsageError, match="Give --init RUN, .* or --recipe NAME"):
        invoke(finetune.command, "classify", data, "--out", tmp_path / "fine")


def test_numbers_of_a_recipe_that_is_named(data, tmp_path):
    invoke(pretrain.command, "vimpac-tiny", data, "--out", tmp_path / "pre", *SETTINGS)
    arguments = ("classify", data, "--init", tmp_path / "pre", "--out", tmp_path / "fine")
    invoke(finetune.command, *arguments, "--recipe", "vimpac-small-classify")
    recipe = json.loads((tmp_path / "fine" / "run.json").read_text())["recipe"]
    assert (recipe["name"], recipe["optim"]["lr"], recipe["model"]["dim"]) == (
        "vimpac-small-classify",
        1e-4,
        16,
    )
    with pytest.raises(UsageError, match="videomae-tiny-classify does not fit"):
        invoke(finetune.command, *arguments, "--recipe", "videomae-tiny-classify")


def test_run_without_checkpoint(data, tmp_path):
    with pytest.raises(UsageError, match="holds no checkpoint"):
        invoke(finetune.command, "classify", data, "--init", tmp_path / "none", "--out", tmp_path / "fine")
    assert not (tmp_path / "fine").exists()


def test_unknown_task(data, tmp_path):
    with pytest.raises(UsageError, match="Unknown task 'caption': choose one of classify"):
        invoke(finetune.command, "caption", data, "--recipe", "vimpac-tiny", "--out", tmp_path / "fine")
