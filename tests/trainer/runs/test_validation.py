"""Runs that are measured on a held-out split while they train."""

import json
import subprocess

import pytest

from vfm.shards.errors import UsageError
from vfm.trainer.engine.inference import Inference
from vfm.trainer.evaluation.evaluate import evaluate
from vfm.trainer.evaluation.result import EvaluateOptions
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.runs.run import pretrain

TINY = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "data.clip_len=3", "train.batch_size=8")
SPLIT = "data.split=train"
EVERY = "Nothing is validated: this run learns from every sample of {data}, so none is held out."
NONE_HELD_OUT = "Nothing is validated: {data} has 0 samples of split SPLIT that this run does not learn from."


def options(said=None):
    return RunOptions(device="cpu", say=(said if said is not None else []).append)


def figures(run, name):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def pretraining(*settings):
    return override(load_recipe("vimpac-tiny"), [*TINY, "model.nce_proj_dim=8", *settings])


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_toy_dataset):
    """Return a dataset of 16 samples to learn from and 8 held out."""
    return write_toy_dataset(tmp_path_factory.mktemp("validation") / "data", num_samples=24)


@pytest.fixture(scope="module")
def finetuned(data):
    """Return a run that was validated once an epoch, which is two updates."""
    start = InitialWeights(recipe=override(load_recipe("vimpac-tiny"), TINY[:4]))
    settings = [TINY[4], "train.max_steps=30", "optim.lr=0.01", SPLIT]
    recipe = finetune_recipe("classify", start=start.recipe, settings=settings)
    out = data.parent / "fine"
    finetune(recipe, start=start, data=data, out=out, options=options())
    return out


def test_finetuning_counts_on_held_out_samples_once_an_epoch(data, finetuned):
    found = figures(finetuned, "val_accuracy")
    assert list(found) == list(range(2, 31, 2))
    assert found[30] == 1.0
    how = EvaluateOptions(num_clips=1)
    assert evaluate(finetuned, data=data, how=how, options=options()).accuracy == found[30]


def test_the_best_weights_are_a_run_of_their_own(data, finetuned):
    found = figures(finetuned, "val_accuracy")
    best_step = next(step for step, accuracy in found.items() if accuracy == max(found.values()))
    result = evaluate(finetuned / "best", data=data, how=EvaluateOptions(num_clips=1), options=options())
    assert (result.step, result.accuracy) == (best_step, found[best_step])


def test_pretraining_is_validated_on_request(data, tmp_path):
    recipe = pretraining(SPLIT, "train.max_steps=4", "train.validate_epochs=1", "train.validate_knn=true")
    pretrain(recipe, data=data, out=tmp_path / "run", options=options())
    assert list(figures(tmp_path / "run", "val_loss")) == [2, 4]
    assert list(figures(tmp_path / "run", "knn_accuracy")) == [2, 4]
    result = evaluate(
        tmp_path / "run", data=data, how=EvaluateOptions(protocol="knn", num_clips=1), options=options()
    )
    assert figures(tmp_path / "run", "knn_accuracy")[4] == pytest.approx(result.accuracy)
    pretrain(pretraining(SPLIT, "train.max_steps=4"), data=data, out=tmp_path / "plain", options=options())
    assert figures(tmp_path / "plain", "val_loss") == {}
    losses = [figures(tmp_path / run, "loss")[4] for run in ("run", "plain")]
    means = sum(figures(tmp_path / "run", "loss").values()) / 2
    assert losses[1] == pytest.approx(means)  # validated lines are of two updates each, the other of four


def test_how_often_it_is_validated_may_change_when_a_run_goes_on(data, tmp_path):
    for settings in (["train.validate_epochs=1"], ["train.validate_epochs=2"]):
        recipe = pretraining(SPLIT, "train.max_steps=2", *settings)
        outcome = pretrain(recipe, data=data, out=tmp_path / "run", options=options())
    assert outcome.step == 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        *(((*words,), EVERY) for words in ((), ("data.split=all",))),
        ((SPLIT, "train.validate_split=test"), NONE_HELD_OUT.replace("SPLIT", "test")),
        (("data.split=validation", "train.validate_split=valid"), NONE_HELD_OUT.replace("SPLIT", "val")),
    ],
    ids=["none", "all", "test", "val"],
)
def test_nothing_held_out_is_told(data, tmp_path, settings, told):
    said = []
    recipe = pretraining("train.max_steps=1", "train.validate_epochs=1", *settings)
    pretrain(recipe, data=data, out=tmp_path / "run", options=options(said))
    assert [line for line in said if line.startswith("Nothing is validated")] == [told.format(data=data)]
    assert figures(tmp_path / "run", "val_loss") == {}


def test_neighbours_without_labels_are_refused(write_toy_dataset, tmp_path):
    data = write_toy_dataset(tmp_path / "data", num_samples=24, classes=())
    recipe = pretraining(SPLIT, "train.validate_epochs=1", "train.validate_knn=true")
    with pytest.raises(
        UsageError, match=r"no labels that neighbours could vote by: leave out train\.validate_knn"
    ):
        pretrain(recipe, data=data, out=tmp_path / "run", options=options())


def test_validation_reads_with_as_many_processes_as_training(data, tmp_path, monkeypatch):
    seen, rows = [], Inference.rows

    def noted(self, *arguments, **named):
        seen.append(self.num_workers)
        return rows(self, *arguments, **named)

    monkeypatch.setattr(Inference, "rows", noted)
    settings = ["train.max_steps=1", "train.validate_epochs=1", "train.validate_knn=true"]
    recipe = pretraining(SPLIT, *settings, "train.num_workers=1")
    pretrain(recipe, data=data, out=tmp_path / "run", options=options())
    assert seen == [1, 1, 1]  # held-out samples, then these and those among which neighbours are looked for


@pytest.mark.parametrize("task", ["pretrain", "finetune"])
def test_ranks_share_the_samples_and_find_the_same(data, tmp_path, rank_environments, warm_python, task):
    """Of 8 samples ranks take 3, 2 and 3; where samples are contrasted 6, as many on every rank."""
    recipe = ["--recipe", "vimpac-tiny"] if task == "finetune" else []
    words = ["finetune", "classify", data] if task == "finetune" else ["pretrain", "vimpac-tiny", data]
    settings = [*TINY[:4], "train.validate_epochs=1", "train.precision=fp32"]
    settings += ["model.nce_proj_dim=8"] if task == "pretrain" else []
    command = [warm_python, "-m", "vfm", *words, *recipe, "--split", "train", "--device", "cpu"]
    command += ["--batch-size", "12", "--steps", "2", "--out", tmp_path / "run"]
    command += [part for setting in settings for part in ("--set", setting)]
    ranks = [subprocess.Popen(command, env=environment) for environment in rank_environments(3)]
    assert [rank.wait(timeout=100) for rank in ranks] == [0, 0, 0]
    together = figures(tmp_path / "run", "val_loss")
    assert list(together) == [1, 2] if task == "finetune" else [2]
    if task == "finetune":
        command[command.index("--out") + 1] = tmp_path / "alone"
        subprocess.run(command, check=True)
        assert together == pytest.approx(figures(tmp_path / "alone", "val_loss"), rel=1e-4)
