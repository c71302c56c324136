import json

import click
import pytest
from click.testing import CliRunner

from vfm.cli.commands import finetune, pretrain
from vfm.cli.main import group
from vfm.shards.errors import UsageError
from vfm.trainer.recipes.yaml.writer import to_yaml
from vfm.trainer.registry import load_recipe

SHRUNK = (
    "model.num_layers=1",
    "model.dim=16",
    "model.num_heads=2",
    "model.nce_proj_dim=8",
    "data.clip_len=3",
)
VIDEOMAE = ("data.clip_len=4", "model.depth=1", "model.dim=24", "model.image_px=32")
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


def test_a_probe_is_trained_as_any_task_is(data, tmp_path):
    invoke(pretrain.command, "vimpac-tiny", data, "--out", tmp_path / "pre", *SETTINGS)
    arguments = ("linear", data, "--init", tmp_path / "pre", "--out", tmp_path / "probe")
    done = invoke(finetune.command, *arguments, "--set", "objective.rates=0.1,0.01", "--set", "optim.lr=0.1")
    assert done.return_value == 0
    told = json.loads((tmp_path / "probe" / "run.json").read_text())["recipe"]
    assert (told["name"], told["task"], told["data"]["split"]) == ("vimpac-tiny-linear", "linear", "train")
    assert told["model"]["dim"] == 16
    assert "accuracy_lr_0.01" in done.stderr
    with pytest.raises(
        UsageError, match="numbers of a probe come from no recipe, and vimpac-tiny-classify was"
    ):
        invoke(finetune.command, *arguments, "--recipe", "vimpac-tiny-classify")


def test_from_scratch(data, tmp_path):
    scratch = ("classify", data, "--recipe", "vimpac-tiny", "--out", tmp_path / "fine", *SETTINGS)
    assert invoke(finetune.command, *scratch).return_value == 0
    assert json.loads((tmp_path / "fine" / "run.json").read_text())["origin"] == {}


def test_split_all_takes_every_sample_and_is_the_same_run_however_it_is_said(data, tmp_path):
    scratch = ("classify", data, "--recipe", "vimpac-tiny", "--out", tmp_path / "fine", *SETTINGS)
    first = invoke(finetune.command, *scratch, "--split", "all")
    assert f"Nothing is validated: this run learns from every sample of {data}, so none is" in first.stderr
    before = json.loads((tmp_path / "fine" / "run.json").read_text())
    assert before["recipe"]["data"]["split"] is None
    for words in (("--split", "ALL"), ("--set", "data.split=all"), ("--set", "data.split=none")):
        again = invoke(finetune.command, *scratch, *words)
        assert "Already trained to the end" in again.stderr
        assert json.loads((tmp_path / "fine" / "run.json").read_text()) == before


@pytest.mark.parametrize("word", ["none", "null", ""])
def test_split_none_is_no_split(data, tmp_path, word):
    scratch = ("classify", data, "--recipe", "vimpac-tiny", "--out", tmp_path / "fine", "--split", word)
    with pytest.raises(UsageError) as caught:
        invoke(finetune.command, *scratch)
    assert str(caught.value) == f"--split {word} names no split: --split all takes every sample."
    assert not (tmp_path / "fine").exists()


def test_a_dataset_without_splits_is_trained_and_evaluated_with_one_word(toy_dataset, tmp_path):
    data, run = toy_dataset(splits=()), tmp_path / "run"
    line = ["finetune", "classify", data, "--recipe", "vimpac-tiny", "--out", run, *SETTINGS, *QUICK]
    call = CliRunner().invoke
    refused = call(group, [*map(str, line)], standalone_mode=False)
    assert str(refused.exception) == (
        f"{data} has no sample of split 'train', and none of its samples has a split: `--split all` takes "
        "every sample."
    )
    done = call(group, [*map(str, line), "--split", "all"])
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1] == f"next: vfm evaluate {run} {data} --split all"
    told = call(group, ["evaluate", str(run), str(data)], standalone_mode=False)
    assert str(told.exception) == str(refused.exception).replace("'train'", "'val'")
    counted = call(group, done.stderr.splitlines()[-1].split()[2:])
    assert counted.exit_code == 0
    assert f"Evaluating {run}, step 2, on a CPU" in counted.stderr
    assert f": 12 samples of {data}, 5 clips in 1 crop each." in counted.stderr
    assert (
        f"{run} has learned from 12 of the 12 samples counted: what it reaches on samples that it has not "
        "seen may be far less."
    ) in counted.stderr.splitlines()
    report = json.loads((run / "evaluate-multiview-all.json").read_text())
    assert (report["split"], report["num_samples"], report["num_trained_on"]) == ("all", 12, 12)
    assert (run / "evaluate-multiview-all.png").exists()
    assert (run / "evaluate-multiview-all.parquet").exists()
    for protocol in ("knn", "linear", "attentive"):
        words = ["evaluate", str(run), str(data), "--protocol", protocol, "--split", "all"]
        assert str(call(group, words, standalone_mode=False).exception) == (
            f"{data} has no split train, which --protocol {protocol} learns from: name splits in a list with "
            "the columns path, label and split, and extract that list into a new dataset; --protocol "
            "multiview needs none, with --split all."
        )
        assert not (run / protocol).exists()


def test_a_start_is_asked_for(data, tmp_path):
    with pytest.raises(click.UsageError, match="Give --init RUN, .* or --recipe RECIPE"):
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


def write_recipe(path, name, *changes):
    text = to_yaml(load_recipe(name))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return path


def recipe_of(run):
    return json.loads((run / "run.json").read_text())["recipe"]


def test_numbers_of_a_file(data, tmp_path):
    invoke(pretrain.command, "vimpac-tiny", data, "--out", tmp_path / "pre", *SETTINGS)
    changes = (("name: vimpac-tiny-classify", "name: mine"), ("  lr: 0.001", "  lr: 3e-4"))
    path = write_recipe(tmp_path / "mine.yaml", "vimpac-tiny-classify", *changes)
    arguments = ("classify", data, "--init", tmp_path / "pre", "--recipe", path)
    done = invoke(finetune.command, *arguments, "--out", tmp_path / "fine")
    recipe = recipe_of(tmp_path / "fine")
    assert (recipe["name"], recipe["optim"]["lr"], recipe["model"]["dim"]) == ("mine", 3e-4, 16)
    told = f"As the encoder has it, not as {path} says: model.num_layers: 2 -> 1; "
    assert told in done.stderr
    assert "data.clip_len: 4 -> 3" in done.stderr
    done = invoke(finetune.command, *arguments, "--out", tmp_path / "fine")
    assert "Already trained to the end" in done.stderr
    other = write_recipe(tmp_path / "other.yaml", "vimpac-tiny")
    with pytest.raises(
        UsageError, match="other.yaml does not fit; it would finetune vimpac-tiny to classify"
    ):
        invoke(finetune.command, *arguments[:-1], other, "--out", tmp_path / "new")


@pytest.mark.parametrize("kind", ["pretraining", "finetuning"])
def test_a_file_from_scratch(kind, data, tmp_path):
    name = "vimpac-tiny" if kind == "pretraining" else "vimpac-tiny-classify"
    changes = (("num_layers: 2", "num_layers: 1"), ("  lr: 0.00", "  lr: 0.0000"))
    path = write_recipe(tmp_path / "mine.yml", name, *changes)
    done = invoke(finetune.command, "classify", data, "--recipe", path, "--out", tmp_path / "fine")
    recipe = recipe_of(tmp_path / "fine")
    # The numbers are those of the file where it is one of finetuning, and of the recipe for it otherwise.
    lr = 1e-3 if kind == "pretraining" else 1e-5
    assert (recipe["model"]["num_layers"], recipe["optim"]["lr"]) == (1, lr)
    assert "As the encoder has it" not in done.stderr


def test_a_published_finetuning_from_scratch_has_its_own_numbers(data, tmp_path):
    arguments = ("classify", data, "--recipe", "vimpac-small-classify-ssv2", *SETTINGS)
    more = ("--set", "objective.augment.stored_views=first")
    invoke(finetune.command, *arguments, *more, "--out", tmp_path / "fine", "--accept-data")
    assert recipe_of(tmp_path / "fine")["name"] == "vimpac-small-classify-ssv2"


def test_run_without_checkpoint(data, tmp_path):
    with pytest.raises(UsageError, match="holds no checkpoint"):
        invoke(finetune.command, "classify", data, "--init", tmp_path / "none", "--out", tmp_path / "fine")
    assert not (tmp_path / "fine").exists()


def test_unknown_task(data, tmp_path):
    with pytest.raises(UsageError, match="Unknown task 'caption': choose one of attentive, classify, linear"):
        invoke(finetune.command, "caption", data, "--recipe", "vimpac-tiny", "--out", tmp_path / "fine")


def test_a_run_of_videos_is_trained_for_more_epochs(films, tmp_path):
    """What a user does: extract, train for one epoch, then want two."""
    rows = [f"{path},{'ab'[i % 2]}" for i, path in enumerate(sorted(films(2).rglob("*.mp4")))]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows, ""]))
    call = CliRunner().invoke
    assert (
        call(group, ["extract", str(tmp_path / "list.csv"), str(tmp_path / "data"), "--fps", "5"]).exit_code
        == 0
    )
    shrunk = [part for setting in VIDEOMAE for part in ("--set", setting)]
    train = [
        "finetune",
        "classify",
        str(tmp_path / "data"),
        "--recipe",
        "videomae-tiny-classify",
        "--accept-data",
    ]
    train += [
        "--split",
        "all",
        "--batch-size",
        "2",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "run"),
        *shrunk,
    ]
    assert call(group, [*train, "--epochs", "1"]).exit_code == 0
    refused = call(group, [*train, "--epochs", "2"], standalone_mode=False)
    assert isinstance(refused.exception, UsageError)
    assert "(train.epochs: 1 -> 2): repeat its settings to go on with it, add --extend to" in str(
        refused.exception
    )
    done = call(group, [*train, "--epochs", "2", "--extend"])
    assert done.exit_code == 0
    assert f"Extending {tmp_path / 'run'} from step 1 of 1 to 2: the learning rate, last " in done.stderr
    assert f"Trained to the end, step 2: {tmp_path / 'run'}" in done.stderr


def test_the_head_of_a_classifier_is_kept_on_request(data, tmp_path):
    first = ("classify", data, "--recipe", "vimpac-tiny", "--out", tmp_path / "first", *SETTINGS)
    invoke(finetune.command, *first)
    again = ("classify", data, "--init", tmp_path / "first", "--out", tmp_path / "again")
    assert ", and keeping its head of 2 classes." in invoke(finetune.command, *again, "--keep-head").stderr
    assert json.loads((tmp_path / "again" / "run.json").read_text())["origin"]["keeps_head"]
    assert "Already trained to the end" in invoke(finetune.command, *again, "--keep-head").stderr
    with pytest.raises(UsageError, match=r"other settings \(--keep-head\): repeat its settings to go on"):
        invoke(finetune.command, *again)
    with pytest.raises(
        click.UsageError, match="--keep-head takes the linear layer of a classifier: give --i"
    ):
        invoke(finetune.command, *first, "--keep-head")
