import shutil

import pytest
import torch

from support.forgery import WRONG_VALUES, changed
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.trainer.engine.checkpoint import read
from vfm.trainer.engine.checkpoint_state import STATE
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.runs.run import pretrain

TINY = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "model.nce_proj_dim=8", "data.clip_len=3")
EVERY = ("train.batch_size=4", "train.checkpoint_every=1", "train.keep_checkpoints=9", "train.log_every=1")
STEADY = ("optim.schedule=constant", "optim.warmup=0")


class Bench:
    """One dataset of 12 samples, three updates an epoch, and runs on it that are made longer."""

    def __init__(self, data, root):
        self.data, self.root, self.said = data, root, []

    def pretrain(self, *settings, out="run", extend=False):
        recipe = override(load_recipe("vimpac-tiny"), [*TINY, *EVERY, *settings])
        options = RunOptions(device="cpu", extend=extend, say=self.said.append)
        return pretrain(recipe, data=self.data, out=self.root / out, options=options)

    def finetune(self, *settings, extend=False):
        scratch = override(load_recipe("vimpac-tiny"), TINY)
        settings = [*EVERY, "data.split=train", *settings]
        recipe = finetune_recipe("classify", start=scratch, settings=settings)
        options = RunOptions(device="cpu", extend=extend, say=self.said.append)
        start = InitialWeights(recipe=scratch)
        return finetune(recipe, start=start, data=self.data, out=self.root / "fine", options=options)

    def newest(self, out="run"):
        return newest_checkpoint(self.root / out, options=RunOptions(say=self.said.append))

    def keep_until(self, step, *, out="run"):
        """Leave a run as if it had been killed after a step."""
        for path in (self.root / out / "checkpoints").iterdir():
            if int(path.name.partition("-")[2]) > step:
                shutil.rmtree(path)


@pytest.fixture
def bench(toy_dataset, tmp_path):
    return Bench(toy_dataset(), tmp_path)


def assert_same(one, other):
    for mine, theirs in ((one.model(), other.model()), (one.optim(), other.optim())):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    for key in ("step", "num_steps", "place", "meter", "recipe"):
        assert one.state[key] == other.state[key], key


def test_a_rate_that_never_changes_makes_it_equal_to_a_run_of_that_length(bench):
    """So the moments, the place in the stream and the draws of every update are those of the run."""
    bench.pretrain(*STEADY, "train.max_steps=7", out="whole")
    bench.pretrain(*STEADY, "train.max_steps=4")
    assert bench.pretrain(*STEADY, "train.max_steps=7", extend=True).step == 7
    assert_same(bench.newest("whole"), bench.newest())
    assert "extended" not in bench.newest("whole").state


def test_it_is_said_from_where_to_where_and_at_which_rates(bench):
    bench.pretrain("train.max_steps=none", "train.epochs=1")
    bench.said.clear()
    done = bench.pretrain("train.max_steps=none", "train.epochs=2", extend=True)
    # Without warm-up updates, 0.1 * 3 and 0.1 * 6 rounded down: 2e-3 * (1 - 2 / 3), then 2e-3 * (1 - 3 / 6).
    assert bench.said[:2] == [
        f"Extending {bench.root / 'run'} from step 3 of 3 to 6: the learning rate, last 0.000667, goes on at "
        "0.001, as the schedule of 6 has it there.",
        f"Going on from step 3 of 6 in {bench.root / 'run'}.",
    ]
    assert (done.step, done.record["lr"]) == (6, pytest.approx(2e-3 / 6))


def test_a_run_keeps_how_often_it_was_extended(bench):
    bench.pretrain("train.max_steps=2")
    for steps in (3, 5):
        bench.pretrain(f"train.max_steps={steps}", extend=True)
    history = [{"step": 2, "num_steps": 2}, {"step": 3, "num_steps": 3}]
    assert bench.newest().state["extended"] == history
    assert '"extended"' in (bench.root / "run/run.json").read_text()
    assert bench.newest().state["recipe"]["train"]["max_steps"] == 5


@pytest.mark.parametrize("extend", [True, False])
@pytest.mark.parametrize("killed_at", [3, 4, 5])
def test_interrupted_and_resumed_equals_uninterrupted(bench, killed_at, extend):
    """With --extend still given or without it; also where nothing was saved since it was extended."""
    bench.pretrain("train.max_steps=3")
    bench.pretrain("train.max_steps=6", extend=True)
    whole = bench.newest()
    shutil.copytree(bench.root / "run", bench.root / "again")
    bench.keep_until(killed_at, out="again")
    bench.said.clear()
    assert bench.pretrain("train.max_steps=6", out="again", extend=extend).step == 6
    assert bench.said[0].startswith(f"Going on from step {killed_at} of 6")
    assert_same(whole, bench.newest("again"))
    assert bench.newest("again").state["extended"] == whole.state["extended"]


def test_a_run_that_was_extended_is_done_when_it_is_done(bench):
    """The same command again changes nothing, so that a script may repeat it."""
    bench.pretrain("train.max_steps=2")
    bench.pretrain("train.max_steps=3", extend=True)
    for extend in (True, False):
        assert bench.pretrain("train.max_steps=3", extend=extend).record == {}


def test_a_run_that_is_not_over_can_be_extended(bench):
    bench.pretrain("train.max_steps=4")
    bench.keep_until(2)
    assert bench.pretrain("train.max_steps=8", extend=True).step == 8
    assert bench.newest().state["extended"] == [{"step": 2, "num_steps": 4}]


def test_a_run_of_the_same_length_that_is_not_over_goes_on(bench):
    bench.pretrain("train.max_steps=4")
    bench.keep_until(2)
    assert bench.pretrain("train.max_steps=4", extend=True).step == 4
    assert "extended" not in bench.newest().state


def test_finetuning_is_extended_too(bench):
    bench.finetune("train.max_steps=none", "train.epochs=1")
    with pytest.raises(
        UsageError, match=r"\(train.epochs: 1 -> 2\): .*, add --extend to train it for longer"
    ):
        bench.finetune("train.max_steps=none", "train.epochs=2")
    assert bench.finetune("train.max_steps=none", "train.epochs=2", extend=True).step == 4
    assert bench.newest("fine").state["extended"] == [{"step": 2, "num_steps": 2}]


@pytest.mark.parametrize(
    ("settings", "way"),
    [
        (("train.max_steps=5",), r", add --extend to train it for longer, or choose another --out\.$"),
        (("train.max_steps=2",), r"go on with it, or choose another --out\.$"),
        (("train.max_steps=5", "optim.lr=0.5"), r"go on with it, or choose another --out\.$"),
    ],
)
def test_the_refusal_names_the_way_where_the_length_alone_was_raised(bench, settings, way):
    bench.pretrain("train.max_steps=3")
    with pytest.raises(
        UsageError, match=r"holds a run with other settings \(.*train.max_steps: 3 -> .*" + way
    ):
        bench.pretrain(*settings)


@pytest.mark.parametrize("settings", [("train.max_steps=2",), ("train.max_steps=3",), ("train.epochs=1",)])
def test_nothing_left_is_one_sentence(bench, settings):
    bench.pretrain("train.max_steps=3")
    before = (bench.root / "run/checkpoints/step-000003" / STATE).read_bytes()
    with pytest.raises(
        UsageError, match=r"has done 3 updates and these settings ask for [23], so that nothing"
    ):
        bench.pretrain(*settings, extend=True)
    assert (bench.root / "run/checkpoints/step-000003" / STATE).read_bytes() == before


def test_other_settings_are_one_sentence(bench):
    bench.pretrain("train.max_steps=3")
    told = r"--extend changes the length of a run alone, .*\(optim.lr: 0.002 -> 0.5\): repeat .* --init .*run"
    with pytest.raises(UsageError, match=told):
        bench.pretrain("train.max_steps=5", "optim.lr=0.5", extend=True)


def test_other_data_is_one_sentence(bench, toy_dataset):
    bench.pretrain("train.max_steps=3")
    bench.data = toy_dataset("more", num_samples=13)
    with pytest.raises(UsageError, match="length of a run alone, .*the contents of column vq.toy"):
        bench.pretrain("train.max_steps=5", extend=True)


def test_there_is_nothing_to_extend(bench):
    told = "run holds no checkpoint to extend: leave out --extend to start a run there"
    with pytest.raises(UsageError, match=told):
        bench.pretrain("train.max_steps=3", extend=True)
    assert not (bench.root / "run").exists()
    (bench.root / "run").mkdir()
    with pytest.raises(UsageError, match=told):
        bench.pretrain("train.max_steps=3", extend=True)
    bench.pretrain("train.max_steps=1")
    bench.keep_until(0)
    with pytest.raises(UsageError, match=told):
        bench.pretrain("train.max_steps=3", extend=True)


def test_a_forged_history_is_damage(bench):
    bench.pretrain("train.max_steps=2")
    bench.pretrain("train.max_steps=3", extend=True)
    path = bench.root / "run/checkpoints/step-000003"
    sound = read_sealed(path / STATE)
    for new in [value for value in WRONG_VALUES if value not in ([], ())]:
        write_sealed(path / STATE, changed(sound, ("extended",), new))
        with pytest.raises(DamageError, match=r"not one that vfm wrote \(extended is"):
            read(path)
