import json
import shutil
import signal
import subprocess
from dataclasses import replace

import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.shards.io.parquet import read_table
from vfm.shards.progress import NoProgress
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.distributed import World
from vfm.trainer.engine.inference import Inference
from vfm.trainer.evaluation.evaluate import evaluate
from vfm.trainer.evaluation.probe import ProbeStoppedError, learned_samples, score_probe
from vfm.trainer.evaluation.result import EvaluateOptions
from vfm.trainer.evaluation.score import Evaluated
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint, recipe_of
from vfm.trainer.runs.initial_weights import from_run
from vfm.trainer.runs.run import pretrain

TINY = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "model.nce_proj_dim=8", "data.clip_len=3")
OPTIONS = RunOptions(device="cpu", say=lambda _: None)
SPLITS = ("train", "train", "train", "train", "val", "val", "test", "test")
PROBES = ("linear", "attentive")


@pytest.fixture(scope="module")
def made(tmp_path_factory, write_toy_dataset):
    """Return a folder with a dataset (64 samples, 32 to learn from) and a pretrained run, made once."""
    root = tmp_path_factory.mktemp("probe")
    write_toy_dataset(root / "data", num_samples=64, splits=SPLITS)
    recipe = override(load_recipe("vimpac-tiny"), [*TINY, "train.batch_size=8", "train.max_steps=3"])
    pretrain(recipe, data=root / "data", out=root / "pre", options=OPTIONS)
    return root


@pytest.fixture
def root(made, tmp_path):
    """Return the folder with a copy of the run that no test has probed."""
    shutil.copytree(made / "pre", tmp_path / "pre", ignore=shutil.ignore_patterns(*PROBES, "evaluate-*"))
    (tmp_path / "data").symlink_to(made / "data")
    return tmp_path


def probed(root, probe="linear", *, say=lambda _: None, progress=None, **how):
    options = RunOptions(device="cpu", say=say, progress=progress or NoProgress())
    how = EvaluateOptions(protocol=probe, **how)
    return evaluate(root / "pre", data=root / "data", how=how, options=options)


class Stopping(NoProgress):
    """Asks to stop as soon as a number of updates is done."""

    def __init__(self, updates):
        self.updates, self.unit = updates, ""

    def start(self, total, what, *, done=0):
        self.unit = what

    def advance(self, *, ok=0, **_others):
        if self.unit == "updates":
            self.updates -= ok
            if self.updates == 0:
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_tells_the_classes_apart_and_leaves_the_run_alone(root, probe):
    before = newest_checkpoint(root / "pre", options=OPTIONS)
    result = probed(root, probe, num_clips=2)
    assert result.accuracy == 1.0
    assert (result.num_samples, result.step, result.protocol) == (16, 3, probe)
    assert result.run == str(root / "pre")
    found = result.probe
    assert (found.step, found.num_left_out, len(found.rates)) == (80, 6, 5)
    (chosen,) = (each for each in found.rates if each.rate == found.rate)
    assert (chosen.left_out_accuracy, chosen.accuracy) == (1.0, 1.0)
    written = json.loads((root / "pre" / f"evaluate-{probe}-val.json").read_text())
    assert written["probe"]["rate"] == found.rate
    assert [each["accuracy"] for each in written["probe"]["rates"]] == [each.accuracy for each in found.rates]
    assert read_table(root / "pre" / f"evaluate-{probe}-val.parquet").num_rows == 16
    trained = newest_checkpoint(root / "pre" / probe, options=OPTIONS).model()
    for name, tensor in before.model().items():
        if name.startswith("backbone."):
            assert torch.equal(tensor, trained[name]), name
    assert newest_checkpoint(root / "pre", options=OPTIONS).state == before.state


def test_a_finished_probe_is_used_again_for_any_split(root):
    told = []
    first = probed(root, say=told.append)
    assert not any("used again" in sentence for sentence in told)
    log = (root / "pre" / "linear" / "log.jsonl").read_bytes()
    again = probed(root, say=told.append, split="test")
    folder = root / "pre" / "linear"
    assert f"The probe in {folder} is trained to the end, step 80: it is used again." in told
    assert (root / "pre" / "linear" / "log.jsonl").read_bytes() == log
    assert (again.split, again.num_samples) == ("test", 16)
    left_out = [each.left_out_accuracy for each in again.probe.rates]
    assert (again.probe.rate, left_out) == (
        first.probe.rate,
        [each.left_out_accuracy for each in first.probe.rates],
    )
    assert any(
        sentence.startswith(
            f"The probe's learning rate is {first.probe.rate:g}, which named 100.0 % of the 6"
        )
        for sentence in told
    )


def test_the_rate_is_chosen_by_what_was_left_out_alone(root):
    """Heads are made so that the rate that is right on the samples left out is wrong on those counted."""
    probed(root)
    checkpoint = newest_checkpoint(root / "pre" / "linear", options=OPTIONS)
    state, good = checkpoint.model(), 1  # of the rates any that is right everywhere
    for room, right in (("heads", 3), ("partial_heads", 2)):
        weight, bias = (state[f"{room}.{good}.{name}"].clone() for name in ("weight", "bias"))
        for k in range(5):
            sign = 1 if k == right else -1
            state[f"{room}.{k}.weight"], state[f"{room}.{k}.bias"] = sign * weight, sign * bias
    evaluated = Evaluated(
        recipe=recipe_of(checkpoint),
        state=state,
        num_clips=1,
        num_crops=1,
        inference=Inference(world=World(device=torch.device("cpu"))),
    )
    counted = open_dataset(root / "data", columns=("vq.toy",), select_split="val")
    taught = learned_samples(checkpoint, data=root / "data")
    scores, found = score_probe(evaluated, counted, taught=taught, step=80)
    assert found.rate == found.rates[2].rate == 1e-3
    assert [each.left_out_accuracy for each in found.rates] == [0, 0, 1, 0, 0]
    assert [each.accuracy for each in found.rates] == [0, 0, 0, 1, 0]
    assert (scores.argmax(1) != torch.from_numpy(counted.class_indices)).all()


def test_a_stopped_probe_goes_on_to_the_same_end(root, made):
    with pytest.raises(ProbeStoppedError) as stopped:
        probed(root, progress=Stopping(5))
    outcome, folder = stopped.value.outcome, stopped.value.folder
    assert (outcome.step, outcome.num_steps, outcome.signal) == (6, 80, signal.SIGINT)
    assert folder == root / "pre" / "linear"
    told = []
    resumed = probed(root, say=told.append)
    assert f"Going on from step 6 of 80 in {folder}." in told
    whole = probed(made)
    one, other = (newest_checkpoint(at / "pre" / "linear", options=OPTIONS).model() for at in (root, made))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
    assert resumed.to_dict() == {**whole.to_dict(), "run": resumed.run, "data": resumed.data}


def test_a_run_that_has_learned_on_is_not_counted_by_its_old_probe(root):
    probed(root)
    recipe = recipe_of(newest_checkpoint(root / "pre", options=OPTIONS))
    recipe = replace(recipe, train=replace(recipe.train, max_steps=4))
    shutil.rmtree(root / "pre" / "checkpoints")
    pretrain(recipe, data=root / "data", out=root / "pre", options=OPTIONS)
    with pytest.raises(
        UsageError, match=r"linear holds a run with other settings \(the weights it starts from\): .* or move"
    ):
        probed(root)


def test_a_probe_of_its_own_is_a_run_that_can_be_evaluated(root, write_toy_dataset):
    start = from_run(root / "pre", options=OPTIONS)
    settings = ["train.batch_size=8", "train.max_steps=40", "data.split=train"]
    settings += ["objective.rates=0.01,0.02", "optim.lr=0.02"]
    recipe = finetune_recipe("linear", start=start.recipe, settings=settings)
    assert recipe.name == "vimpac-tiny-linear"
    finetune(recipe, start=start, data=root / "data", out=root / "own", options=OPTIONS)
    result = evaluate(root / "own", data=root / "data", how=EvaluateOptions(), options=OPTIONS)
    assert (result.accuracy, result.step, result.probe.step) == (1.0, 40, 40)
    assert [each.rate for each in result.probe.rates] == [0.01, 0.02]
    other = write_toy_dataset(root / "other", num_samples=48, splits=SPLITS)
    with pytest.raises(UsageError, match="is a probe, .* evaluate it on the dataset it was trained on"):
        evaluate(root / "own", data=other, how=EvaluateOptions(), options=OPTIONS)


@pytest.mark.parametrize(
    ("data", "how", "told"),
    [
        ({}, {"split": "train"}, "The probe learns from split train itself: choose another --split"),
        (
            {},
            {"split": "all"},
            "probe learns from split train itself, which is among all: choose another --spl",
        ),
        ({"classes": ()}, {}, "has no labels here"),
        ({"classes": ("left",)}, {}, "Classification needs at least two classes, and the dataset has 1"),
        ({"num_samples": 6}, {}, "there are 4: it needs 5 labelled samples or more"),
        (
            {"splits": ("val",)},
            {},
            "has no split train, which --protocol linear learns from: name splits in a li",
        ),
        ({"splits": ()}, {"split": "all"}, "has no split train, which --protocol linear learns from: name "),
    ],
)
def test_refuses(root, write_toy_dataset, data, how, told):
    if data:
        (root / "data").unlink()
        write_toy_dataset(root / "data", **{"num_samples": 16, "splits": SPLITS, **data})
    with pytest.raises(UsageError, match=told):
        probed(root, **how)
    assert not (root / "pre" / "linear").exists()


def test_a_folder_that_holds_something_else(root):
    (root / "pre" / "linear").mkdir()
    (root / "pre" / "linear" / "notes.txt").touch()
    with pytest.raises(
        UsageError, match=r"linear is not empty and holds no run: move .*linear away to train"
    ):
        probed(root)


@pytest.mark.parametrize("probe", ["linear", pytest.param("attentive", marks=pytest.mark.slow)])
def test_ranks_train_it_together(root, rank_environments, warm_python, probe):
    command = [warm_python, "-m", "vfm", "evaluate", root / "pre", root / "data", "--json"]
    command += ["--protocol", probe, "--device", "cpu"]
    ranks = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for environment in rank_environments(2)
    ]
    told = [rank.communicate(timeout=100)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    assert told[1] == ""
    (entry,) = json.loads(told[0])
    assert (entry["accuracy"], entry["probe"]["step"], entry["num_samples"]) == (1.0, 80, 16)
    again = probed(root, probe)  # by one rank
    assert json.loads(json.dumps(again.to_dict()["probe"])) == entry["probe"]
