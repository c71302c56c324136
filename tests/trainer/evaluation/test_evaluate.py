import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

from support.weights import random_state
from vfm.shards.columns.views import vimpac_views
from vfm.shards.errors import MachineError, UsageError
from vfm.shards.format.layout import PLAN_NAME
from vfm.shards.format.plan import Source, build_plan, write_plan
from vfm.shards.io.parquet import read_table
from vfm.trainer.evaluation.evaluate import evaluate
from vfm.trainer.evaluation.report import predictions_table
from vfm.trainer.evaluation.result import EvaluateOptions
from vfm.trainer.export.folder import Export, export
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.convert import Conversion, convert
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import from_run
from vfm.trainer.runs.run import pretrain
from vfm.trainer.weights.about import about
from vfm.trainer.weights.exported import layout_for
from vfm.trainer.weights.files import read_weights, write_weights

TINY = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "model.nce_proj_dim=8", "data.clip_len=3")
OPTIONS = RunOptions(device="cpu", say=lambda _: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, write_toy_dataset):
    """Return a dataset, a pretrained run and a finetuned one, made once."""
    root = tmp_path_factory.mktemp("evaluate")
    data = write_toy_dataset(root / "data", num_samples=24)
    recipe = override(load_recipe("vimpac-tiny"), [*TINY, "train.batch_size=8", "train.max_steps=3"])
    pretrain(recipe, data=data, out=root / "pre", options=OPTIONS)
    start = from_run(root / "pre", options=OPTIONS)
    settings = ["train.batch_size=8", "train.max_steps=60", "optim.lr=0.01", "data.split=train"]
    recipe = finetune_recipe("classify", start=start.recipe, settings=settings)
    finetune(recipe, start=start, data=data, out=root / "fine", options=OPTIONS)
    return root


def test_finetuned_run_tells_the_classes_apart(trained):
    result = evaluate(trained / "fine", data=trained / "data", how=EvaluateOptions(), options=OPTIONS)
    assert result.accuracy == 1.0
    assert (result.num_samples, result.num_unlabelled, result.step) == (8, 0, 60)
    assert (result.majority_rate, result.chance_rate) == (0.5, 0.5)
    assert result.accuracy_interval == pytest.approx((0.6756, 1.0), abs=5e-5)
    assert (result.top5_accuracy, result.num_missing) == (None, None)  # two classes; a dataset without a plan
    assert [(found.label, found.num_samples, found.accuracy) for found in result.per_class] == [
        ("left", 4, 1.0),
        ("right", 4, 1.0),
    ]
    written = json.loads((trained / "fine" / "evaluate-multiview-val.json").read_text())
    assert written == {**result.to_dict(), "per_class": written["per_class"], "confusion": [[4, 0], [0, 4]]}
    assert written["per_class"][1] == {"label": "right", "num_samples": 4, "accuracy": 1.0}
    rows = read_table(trained / "fine" / "evaluate-multiview-val.parquet").to_pylist()
    assert sorted(row["key"] for row in rows) == [f"clip-{i:03d}" for i in (4, 5, 10, 11, 16, 17, 22, 23)]
    row = next(row for row in rows if row["key"] == "clip-005")
    assert (row["label"], row["predicted"]) == ("right", "right")
    assert 0.5 < row["score"] <= 1
    assert sum(row["scores"]) == pytest.approx(1)
    picture = (trained / "fine" / "evaluate-multiview-val.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_same_result_twice(trained):
    one, two = (
        evaluate(trained / "fine", data=trained / "data", how=EvaluateOptions(), options=OPTIONS)
        for _ in range(2)
    )
    assert one.to_dict() == two.to_dict()
    assert np.array_equal(one.predictions.scores, two.predictions.scores)


@pytest.mark.parametrize("run", ["pre", "fine"])
def test_neighbours_judge_any_run(trained, run):
    how = EvaluateOptions(protocol="knn", num_clips=2)
    result = evaluate(trained / run, data=trained / "data", how=how, options=OPTIONS)
    assert result.num_samples == 8
    assert (trained / run / "evaluate-knn-val.json").exists()
    if run == "fine":
        assert result.accuracy == 1.0


def test_lists_are_equal_whatever_the_protocol(trained):
    results = [
        evaluate(trained / "fine", data=trained / "data", how=EvaluateOptions(protocol=p), options=OPTIONS)
        for p in ("multiview", "knn")
    ]
    assert results[0].sample_list_sha256 == results[1].sample_list_sha256


def test_three_crops_are_averaged_as_probabilities(trained, write_toy_dataset, tmp_path):
    """A column whose views 1 and 2 hold other codes: every score is the mean of three views' softmax."""
    views = vimpac_views(32)
    three = write_toy_dataset(tmp_path / "three", num_samples=24, views=views[:3])
    found = evaluate(
        trained / "fine", data=three, how=EvaluateOptions(num_clips=2, num_crops=3), options=OPTIONS
    )
    alone = []
    for view in range(3):
        # The same stored codes, all called the middle square in turn.
        named = tuple(views[(place - view) % 3] for place in range(3))
        data = write_toy_dataset(tmp_path / f"only-{view}", num_samples=24, views=named)
        how = EvaluateOptions(num_clips=2)
        alone.append(evaluate(trained / "fine", data=data, how=how, options=OPTIONS).predictions.scores)
    np.testing.assert_allclose(found.predictions.scores, np.mean(alone, axis=0), atol=1e-6)
    assert np.abs(alone[1] - alone[0]).max() > 1e-3


def test_unlabelled_samples_are_counted(trained, write_toy_dataset, tmp_path):
    data = write_toy_dataset(tmp_path / "data", num_samples=24, unlabelled=(4, 5, 10))
    result = evaluate(trained / "fine", data=data, how=EvaluateOptions(), options=OPTIONS)
    assert (result.num_samples, result.num_unlabelled) == (5, 3)
    assert result.majority_rate == 0.6


def test_videos_that_gave_no_sample_are_counted_aloud(trained, write_toy_dataset, tmp_path):
    data = write_toy_dataset(tmp_path / "data", num_samples=24)
    sources = [
        Source(key=f"clip-{i:03d}", identity=str(i), path="", size_bytes=1, mtime_ns=0, split=split)
        for i, split in [(4, "val"), (98, "train"), (99, "val")]
    ]
    write_plan(data / PLAN_NAME, build_plan(sources, samples_per_shard=5))
    told = []
    options = RunOptions(device="cpu", say=told.append)
    result = evaluate(trained / "fine", data=data, how=EvaluateOptions(), options=options)
    assert (result.num_samples, result.num_missing) == (8, 1)
    assert f"1 of the 2 videos of split val gave no sample in {data}: what is counted is the rest." in told


def test_weights_are_used(trained, tmp_path):
    """Another split, other clips: nothing of the training is left in what is evaluated but its weights."""
    how = EvaluateOptions(split="training", num_clips=1)
    result = evaluate(trained / "fine", data=trained / "data", how=how, options=OPTIONS)
    assert (result.num_samples, result.split) == (16, "train")
    assert (trained / "fine" / "evaluate-multiview-train.json").exists()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("run", "how", "message"),
    [
        ("pre", {}, r"pre has learned no classes: finetune it with `vfm finetune classify DATA --init .*knn"),
        (
            "fine",
            {"split": "test"},
            r"no sample of split 'test': choose one of these: train \(16\), val \(8\), all \(24\)\.",
        ),
        (
            "fine",
            {"protocol": "knn", "split": "train"},
            "The neighbours come from split train itself: choose",
        ),
        (
            "fine",
            {"protocol": "knn", "split": "all"},
            "come from split train itself, which is among all: cho",
        ),
        ("none", {}, "none holds no checkpoint"),
        (
            "fine",
            {"views": "mmaction2"},
            "Encoders of vimpac-tiny-classify do not see frames as --views mmaction2 says: leave it out",
        ),
        ("fine", {"num_crops": 3}, r"vq.toy does not hold codes of 3 crops, .*vimpac12 .* use --crops 1"),
        ("fine", {"num_crops": 2}, r"2 crops of codes do not exist: use --crops 1 or 3"),
    ],
)
def test_refuses(trained, run, how, message):
    with pytest.raises(UsageError, match=message):
        evaluate(trained / run, data=trained / "data", how=EvaluateOptions(**how), options=OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("left", "up")}, "fine tells left, right apart and .* has the classes left, up"),
        ({"classes": ("right", "left")}, "in another order, class 0 is left there and right here"),
        ({"codebook": "another"}, "differs from the one .* in codebook"),
        ({"classes": ()}, "has no labels here"),
    ],
)
def test_refuses_other_data(trained, write_toy_dataset, tmp_path, change, message):
    data = write_toy_dataset(tmp_path / "data", **change)
    with pytest.raises(UsageError, match=message):
        evaluate(trained / "fine", data=data, how=EvaluateOptions(), options=OPTIONS)


@pytest.mark.parametrize("protocol", ["multiview", "knn"])
def test_ranks_share_the_samples_and_one_tells(trained, rank_environments, warm_python, protocol):
    alone = evaluate(
        trained / "fine", data=trained / "data", how=EvaluateOptions(protocol=protocol), options=OPTIONS
    )
    written = trained / "fine" / f"evaluate-{protocol}-val.parquet"
    written.unlink()
    command = [warm_python, "-m", "vfm", "evaluate", trained / "fine", trained / "data", "--json"]
    command += ["--protocol", protocol, "--device", "cpu"]
    ranks = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for environment in rank_environments(3)  # 3, 2 and 3 of 8 samples
    ]
    told = [rank.communicate(timeout=100)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0, 0]
    assert told[1:] == ["", ""]
    assert json.loads(told[0])[0]["accuracy"] == alone.accuracy
    together = {row["key"]: row for row in read_table(written).to_pylist()}
    told_alone = predictions_table(alone.predictions).to_pylist()
    assert {row["key"]: row["predicted"] for row in told_alone} == {
        key: row["predicted"] for key, row in together.items()
    }
    for row in told_alone:
        assert together[row["key"]]["scores"] == pytest.approx(row["scores"], abs=1e-4)


def left(trained, path, *, run="fine", folder=False):
    """Write the weights of a run as a file, or a folder."""
    if folder:
        export(trained / run, path, how=Export(), options=OPTIONS)
    else:
        convert(trained / run, path, how=Conversion(), options=OPTIONS)
    return path


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize(
    ("run", "how"),
    [
        ("fine", {"num_clips": 2}),
        ("fine", {"protocol": "knn"}),
        ("pre", {"protocol": "knn", "num_clips": 2}),
        ("fine", {"protocol": "linear"}),
    ],
)
def test_weights_that_left_a_run_say_what_it_says(trained, tmp_path, run, how, folder):
    path = left(trained, tmp_path / ("left" if folder else "left.v1.safetensors"), run=run, folder=folder)
    how = EvaluateOptions(**how)
    one, other = (evaluate(p, data=trained / "data", how=how, options=OPTIONS) for p in (trained / run, path))
    assert np.array_equal(one.predictions.scores, other.predictions.scores)
    unknown = {"step": None, "num_trained_on": None}
    assert other.to_dict() == {**one.to_dict(), "run": str(path), **unknown}
    name = f"evaluate-{how.protocol}-val"
    stem = path / name if folder else tmp_path / f"left.v1.{name}"
    written = json.loads(stem.with_name(f"{stem.name}.json").read_text())
    assert (written["run"], written["step"], written["accuracy"]) == (str(path), None, one.accuracy)
    assert read_table(stem.with_name(f"{stem.name}.parquet")).num_rows == 8
    assert stem.with_name(f"{stem.name}.png").exists()
    if how.protocol == "linear":
        probe = path / "linear" if folder else tmp_path / "left.v1.linear"
        assert json.loads((probe / "run.json").read_text())["origin"].keys() == {"sha256"}


def test_an_original_file_is_seen_as_its_recipe_or_the_user_says(write_toy_dataset, tmp_path):
    data = write_toy_dataset(tmp_path / "data", num_samples=24)
    recipe = load_recipe("umt-tiny-classify")
    layout, state = layout_for("umt", recipe), random_state(recipe, num_classes=2)
    write_weights(tmp_path / "b16.pth", layout.to_theirs(state, recipe), container="model", metadata={})
    options = RunOptions(device="cpu", accept_data=True, say=(said := []).append)
    how = EvaluateOptions(protocol="knn", num_clips=1, num_crops=3)
    with pytest.raises(UsageError, match="has a head of 2 classes and does not say which they are: `vfm"):
        evaluate(tmp_path / "b16.pth", data=data, how=EvaluateOptions(), options=options)
    assert not list(tmp_path.glob("*evaluate*"))
    scores = [
        evaluate(tmp_path / "b16.pth", data=data, how=replace(how, views=views), options=options)
        for views in (None, "umt", "mmaction2")
    ]
    assert scores[0].predictions.scores.tolist() == scores[1].predictions.scores.tolist()
    assert scores[0].predictions.scores.tolist() != scores[2].predictions.scores.tolist()
    assert any("b16.pth is a classifier of method umt as umt saves it" in sentence for sentence in said)
    assert any(f"Evaluating {tmp_path / 'b16.pth'} on a CPU" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("change", "how", "message"),
    [
        ({"classes": ("left", "up")}, {}, "left.safetensors tells left, right apart and .* left, up: evalu"),
        ({"classes": ("right", "left")}, {}, "in another order, class 0 is left there and right here: eval"),
        ({"codebook": "another"}, {}, r"from the one that .*left.safetensors was trained on in codebook"),
        ({}, {"ema": True}, "left.safetensors has one set of weights: leave out --ema"),
        ({}, {"views": "mmaction2"}, "do not see frames as --views mmaction2 says: leave it out"),
    ],
)
def test_refuses_files(trained, write_toy_dataset, tmp_path, change, how, message):
    path = left(trained, tmp_path / "left.safetensors")
    data = write_toy_dataset(tmp_path / "data", **change)
    with pytest.raises(UsageError, match=message):
        evaluate(path, data=data, how=EvaluateOptions(**how), options=OPTIONS)


def test_refuses_what_cannot_be_evaluated(trained, tmp_path):
    def refused(path, how, message, error=UsageError):
        with pytest.raises(error, match=message):
            evaluate(path, data=trained / "data", how=how, options=OPTIONS)

    encoder = left(trained, tmp_path / "pre.safetensors", run="pre")
    refused(encoder, EvaluateOptions(), r"pre.safetensors has learned no classes: finetune it with")
    refused(tmp_path / "none.pth", EvaluateOptions(), "none.pth does not exist: name a run, or a file or f")
    (tmp_path / "notes.pth").write_text("none")
    refused(tmp_path / "notes.pth", EvaluateOptions(), "notes.pth cannot be read as weights")
    named = tmp_path / ("x" * 240 + ".safetensors")  # as long as a name may be, and the report's is longer
    left(trained, tmp_path / "left.safetensors").rename(named)
    told = r"x.evaluate-multiview-val.parquet cannot be written \(File name too long\)"
    refused(named, EvaluateOptions(), told, MachineError)


def test_columns_that_a_file_does_not_tell_are_taken_for_granted_aloud(trained, tmp_path):
    told = read_weights(left(trained, tmp_path / "left.safetensors"))
    said = replace(about(told), columns={})
    write_weights(tmp_path / "bare.safetensors", told.tensors, container="", metadata=said.to_metadata())
    options = RunOptions(device="cpu", say=(heard := []).append)
    found = evaluate(
        tmp_path / "bare.safetensors", data=trained / "data", how=EvaluateOptions(), options=options
    )
    assert found.accuracy == 1.0
    assert any(sentence.endswith("taken for granted that vq.toy is the same.") for sentence in heard)
