"""Samples that a run has learned from are told where they are counted."""

import json
import shutil

import pytest

from vfm.shards.errors import UsageError
from vfm.shards.format.layout import PLAN_NAME
from vfm.shards.format.plan import Source as PlanSource
from vfm.shards.format.plan import build_plan, write_plan
from vfm.shards.reading.mixture import Source
from vfm.trainer.evaluation.evaluate import evaluate
from vfm.trainer.evaluation.result import EvaluateOptions
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.convert import Conversion, convert
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.runs.run import pretrain

TINY = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "data.clip_len=3", "train.batch_size=4")
ONCE = "train.max_steps=1"


def options(said=None):
    return RunOptions(device="cpu", say=([] if said is None else said).append)


def classifier(out, data, *settings):
    start = InitialWeights(recipe=override(load_recipe("vimpac-tiny"), TINY[:4]))
    recipe = finetune_recipe("classify", start=start.recipe, settings=[TINY[4], ONCE, *settings])
    finetune(recipe, start=start, data=data, out=out, options=options())
    return out


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_toy_dataset):
    """Return a folder with a dataset of 16 samples to learn from and 8 held out, and runs on it."""
    root = tmp_path_factory.mktemp("trained_on")
    data = write_toy_dataset(root / "data", num_samples=24)
    classifier(root / "train", data, "data.split=train")
    classifier(root / "every", data, "data.split=all")
    other = write_toy_dataset(root / "other", num_samples=6)
    both = [Source(data=data), Source(data=other)]
    classifier(root / "mixed", both, "data.split=train")
    recipe = override(load_recipe("vimpac-tiny"), [*TINY, "model.nce_proj_dim=8", ONCE])
    pretrain(recipe, data=data, out=root / "pre", options=options())
    return root


def told(path, data, **how):
    said = []
    result = evaluate(path, data=data, how=EvaluateOptions(num_clips=1, **how), options=options(said))
    return result, [line for line in said if "learned from" in line]


@pytest.mark.parametrize(
    ("run", "data", "how", "counts", "labels"),
    [
        ("train", "data", {}, (0, 8), ""),
        ("train", "data", {"split": "train"}, (16, 16), ""),
        ("train", "data", {"split": "all"}, (16, 24), ""),
        ("train/best", "data", {"split": "all"}, (16, 24), ""),
        ("every", "data", {}, (8, 8), ""),
        ("every", "data", {"split": "all"}, (24, 24), ""),
        ("mixed", "data", {"split": "all"}, (16, 24), ""),
        ("mixed", "other", {"split": "train"}, (4, 4), ""),
        ("pre", "data", {"protocol": "knn"}, (8, 8), ", without their labels"),
        ("train", "other", {"split": "all"}, (None, 6), ""),
    ],
)
def test_samples_that_a_run_learned_from(root, run, data, how, counts, labels):
    num_trained, num_samples = counts
    result, lines = told(root / run, root / data, **how)
    assert (result.num_trained_on, result.num_samples) == (num_trained, num_samples)
    assert lines == [
        f"{root / run} has learned from {num_trained} of the {num_samples} samples counted{labels}: what it "
        "reaches on samples that it has not seen may be far less."
    ] * bool(num_trained)
    name = f"evaluate-{how.get('protocol', 'multiview')}-{how.get('split', 'val')}.json"
    assert json.loads((root / run / name).read_text())["num_trained_on"] == num_trained


def test_a_copy_of_the_dataset_is_the_same_one(root, tmp_path):
    shutil.copytree(root / "data", tmp_path / "copy")
    assert told(root / "train", tmp_path / "copy", split="all")[0].num_trained_on == 16


def test_a_file_may_have_learned_from_what_is_counted(root, tmp_path):
    file = tmp_path / "left.safetensors"
    convert(root / "train", file, how=Conversion(), options=options())
    assert told(file, root / "data")[1] == []
    for split in ("train", "all"):
        result, lines = told(file, root / "data", split=split)
        assert result.num_trained_on is None
        assert lines == [
            f"{file} does not tell which samples it has learned from: where those counted are among them, it "
            "may reach far less on others."
        ]


def test_of_all_videos_those_without_a_sample_are_counted(root, write_toy_dataset, tmp_path):
    data = write_toy_dataset(tmp_path / "data", num_samples=24, splits=("validate", ""))
    sources = [
        PlanSource(key=f"clip-{i:03d}", identity=str(i), path="", size_bytes=1, mtime_ns=0, split=split)
        for i, split in [(4, "validate"), (97, None), (98, "train"), (99, "validate")]
    ]
    write_plan(data / PLAN_NAME, build_plan(sources, samples_per_shard=5))
    for split, (num_samples, num_missing, num_wanted, of) in {
        "all": (24, 3, 4, ""),
        "val": (12, 1, 2, " of split val"),
    }.items():
        said = []
        how = EvaluateOptions(num_clips=1, split=split)
        result = evaluate(root / "train", data=data, how=how, options=options(said))
        assert (result.num_samples, result.num_missing) == (num_samples, num_missing)
        assert (
            f"{num_missing} of the {num_wanted} videos{of} gave no sample in {data}: what is counted is the "
            "rest."
        ) in said


def test_only_test_is_not_val(root, write_toy_dataset, tmp_path):
    data = write_toy_dataset(tmp_path / "data", splits=("testing",))
    with pytest.raises(UsageError) as caught:
        told(root / "train", data)
    assert str(caught.value) == (
        f"{data} has no sample of split 'val': choose one of these: test (12), all (12); test is a split of "
        "its own, which `--split test` takes."
    )
    assert told(root / "train", data, split="test")[0].num_samples == 12
