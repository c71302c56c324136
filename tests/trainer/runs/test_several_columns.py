"""A method that reads frames and a target column: trains, resumes, finetunes; what does not fit is told."""

import pytest
import torch

from vfm.shards.errors import UsageError
from vfm.shards.writing.drop import drop_column
from vfm.trainer.evaluation.evaluate import EvaluateOptions, evaluate
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import from_run
from vfm.trainer.runs.run import pretrain
from vfm.video2token.jobs.tokenize.tokenize import tokenize
from vfm.video2token.target import TargetOptions

pytestmark = pytest.mark.usefixtures("plugins")


class Bench:
    """One dataset with frames and ``seen``, and runs on it."""

    def __init__(self, data, root):
        self.data, self.root, self.said = data, root, []
        self.options = RunOptions(device="cpu", say=self.said.append, accept_data=True)

    def tokenize(self, spec="seen", *, crop_px=24, name=None):
        tokenize(self.data, [spec], TargetOptions(name=name, own={"crop_px": crop_px}))

    def pretrain(self, *settings, out="run"):
        recipe = override(load_recipe("paired-tiny"), ["train.num_workers=0", *settings])
        return pretrain(recipe, data=self.data, out=self.root / out, options=self.options)

    def newest(self, out="run"):
        return newest_checkpoint(self.root / out, options=self.options)


@pytest.fixture
def bench(stills, tmp_path):
    made = Bench(stills(num_samples=12, num_frames=7), tmp_path)
    made.tokenize()
    return made


def test_it_learns_from_both_columns(bench):
    first, last = bench.pretrain("train.max_steps=1", out="short"), bench.pretrain("train.max_steps=80")
    assert last.record["loss"] < 0.5 * first.record["loss"]
    columns = bench.newest().state["columns"]
    assert list(columns) == ["frames", "seen"]
    assert columns["seen"]["options"]["views"][0]["crop_px"] == 24
    assert columns["seen"]["tars_sha256"] != columns["frames"]["tars_sha256"]


def test_resumed_equals_uninterrupted(bench):
    bench.pretrain()
    bench.pretrain("train.max_steps=6", out="again")
    for step in ("step-000006", "step-000004"):
        for file in sorted((bench.root / "again/checkpoints" / step).iterdir(), reverse=True):
            file.unlink()
        (bench.root / "again/checkpoints" / step).rmdir()
    bench.pretrain(out="again")
    assert any("Going on from step 2 of 6" in sentence for sentence in bench.said)
    whole, resumed = bench.newest().model(), bench.newest("again").model()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert whole.keys() == resumed.keys()


def test_a_missing_column_names_the_command_that_makes_it(bench):
    drop_column(bench.data, "seen")
    told = (
        r"The dataset has no column 'seen\*' \(it has frames\): "
        r"run `vfm tokenize DATA --target seen --crop 24` first"
    )
    with pytest.raises(UsageError, match=told):
        bench.pretrain()


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"spec": "seen:views"}, "other settings (column seen, made with another views)"),
        ({"spec": "seen", "crop_px": 20}, "other settings (column seen, made with another views)"),
    ],
)
def test_a_column_that_was_made_otherwise_is_told_when_going_on(bench, made, told):
    bench.pretrain("train.max_steps=2")
    drop_column(bench.data, "seen")
    bench.tokenize(**made)
    with pytest.raises(UsageError) as caught:
        bench.pretrain("train.max_steps=2")
    assert told in str(caught.value)


def test_a_column_made_again_the_same_way_is_the_same_column(bench):
    bench.pretrain()
    drop_column(bench.data, "seen")
    bench.tokenize()
    assert bench.pretrain().record == {}


def test_finetuning_and_neighbours_need_the_frames_alone(bench, tmp_path):
    bench.pretrain()
    start = from_run(bench.root / "run", options=bench.options)
    drop_column(bench.data, "seen")
    recipe = finetune_recipe("classify", start=start.recipe, settings=["data.split=train"])
    assert recipe.data.columns == ("frames",)
    finetune(recipe, start=start, data=bench.data, out=bench.root / "fine", options=bench.options)
    assert list(bench.newest("fine").state["columns"]) == ["frames"]
    assert bench.newest("fine").step == 6
    done = evaluate(
        bench.root / "run",
        data=bench.data,
        how=EvaluateOptions(protocol="knn", split="val"),
        options=bench.options,
    )
    assert 0 <= done.accuracy <= 1


def test_one_column_is_changed_by_its_kind(bench):
    bench.tokenize("seen:views", name="other")
    with pytest.raises(UsageError, match=r"seen, seen.other all match 'seen\*': .*--set data.column=seen`"):
        bench.pretrain()
    bench.pretrain("data.column=seen.other")
    assert list(bench.newest().state["columns"]) == ["frames", "seen.other"]


def test_a_column_of_a_kind_that_is_not_read_cannot_stand_for_one(bench):
    told = (
        r"Recipe 'paired-tiny' reads frames,seen\*, of which data.column=hog could replace none: "
        r"give all of them with `--set data.columns=...`"
    )
    with pytest.raises(UsageError, match=told):
        bench.pretrain("data.column=hog")
    with pytest.raises(UsageError, match="reads one column of kind seen, and data.columns .frames. has none"):
        bench.pretrain("data.columns=frames")
