import contextlib
import json
import shutil
from dataclasses import replace

import pytest

from support.forgery import WRONG_VALUES, changed, places_in
from vfm.shards.errors import DamageError, MachineError, UsageError, VfmError
from vfm.shards.io.lock import hold
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.engine.checkpoint_state import STATE
from vfm.trainer.engine.updates import precision
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.folder import RunOptions, check_columns, newest_checkpoint, recipe_of, timed
from vfm.trainer.runs.run import pretrain

TINY = (
    "model.num_layers=1",
    "model.dim=16",
    "model.num_heads=2",
    "model.nce_proj_dim=8",
    "data.clip_len=3",
    "train.batch_size=4",
    "train.max_steps=4",
    "train.checkpoint_every=2",
)


@pytest.fixture
def said():
    return []


@pytest.fixture
def go(toy_dataset, tmp_path, said):
    """Return a function that pretrains a tiny model, with settings, into a folder of this test."""
    data = toy_dataset()

    def start(*settings, data=data, fall_back=True):
        recipe = override(load_recipe("vimpac-tiny"), [*TINY, *settings])
        options = RunOptions(device="cpu", fall_back=fall_back, say=said.append)
        return pretrain(recipe, data=data, out=tmp_path / "run", options=options)

    return start


def test_run_keeps_what_it_was_started_with(go, tmp_path):
    assert go().step == 4
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    facts = {"recipe", "dataset", "classes", "columns", "method", "origin", "fit", "versions", "data"}
    assert set(told) == facts
    assert told["recipe"]["data"]["columns"] == ["vq.toy"]
    assert told["classes"] == ["left", "right"]
    assert set(told["versions"]) == {"vfm", "python", "torch", "numpy"}
    checkpoint = newest_checkpoint(tmp_path / "run", options=RunOptions(say=print))
    assert checkpoint.step == 4
    assert recipe_of(checkpoint).train.max_steps == 4


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_forged_state_is_told_by_all_who_read_it(go, tmp_path, monkeypatch, every):
    """Wrong values in every place of a state that is sealed anew, others each time: never a traceback."""
    monkeypatch.setattr("vfm.shards.io.atomic.os.fsync", lambda descriptor: None)
    go("train.keep_checkpoints=2")
    newest_path, path = tmp_path / "run/checkpoints/step-000004", tmp_path / "run/checkpoints/step-000002"
    shutil.rmtree(newest_path)  # so that there is something left to do
    sound = read_sealed(path / STATE)
    options = RunOptions(device="cpu", fall_back=False, say=print)
    recipe, dataset = dataset_recipe(load_recipe("vimpac-tiny")), open_dataset(tmp_path / "data")
    places = list(places_in(sound))
    assert {("step",), ("place", "seed"), ("recipe", "optim", "lr"), ("tied",)} <= set(places)
    for number, place in enumerate(places):
        for new in WRONG_VALUES[number % every :: every]:
            write_sealed(path / STATE, changed(sound, place, new))
            with contextlib.suppress(VfmError):
                found = newest_checkpoint(tmp_path / "run", options=options)
                timed(recipe_of(found), checkpoint=found)
                check_columns(
                    found.state["columns"],
                    path=found.path,
                    recipe=recipe,
                    dataset=dataset,
                )
                found.model()
        if place[0] not in ("recipe", "versions"):
            write_sealed(path / STATE, changed(sound, place, WRONG_VALUES[number % len(WRONG_VALUES)]))
            with contextlib.suppress(VfmError):
                go("train.keep_checkpoints=2", fall_back=False)
            shutil.rmtree(newest_path, ignore_errors=True)


def dataset_recipe(recipe):
    return replace(recipe, data=replace(recipe.data, columns=("vq.toy",)))


def test_a_recipe_that_no_run_writes_is_damage_and_that_of_another_version_is_not(go, tmp_path):
    go()
    path = tmp_path / "run/checkpoints/step-000004"
    sound = read_sealed(path / STATE)
    options = RunOptions(device="cpu", say=print)
    write_sealed(path / STATE, changed(sound, ("recipe", "optim", "lr"), "fast"))
    with pytest.raises(
        DamageError, match=r"state.json is not one .*\(optim.lr is 'fast', .* a number\): restore"
    ):
        recipe_of(newest_checkpoint(tmp_path / "run", options=options))
    write_sealed(path / STATE, changed(sound, ("recipe", "method"), "later"))
    with pytest.raises(UsageError, match="method 'later' .* another version of vfm"):
        recipe_of(newest_checkpoint(tmp_path / "run", options=options))


def test_finished_run_says_so_and_changes_nothing(go, tmp_path, said):
    go()
    before = {p: p.read_bytes() for p in (tmp_path / "run" / "checkpoints").rglob("*") if p.is_file()}
    said.clear()
    outcome = go()
    assert (outcome.step, outcome.record) == (4, {})
    assert said == []
    assert before == {p: p.read_bytes() for p in before}


def test_settings_that_change_no_weight_may_change(go):
    go()
    assert go("train.log_every=1", "train.keep_checkpoints=5").step == 4


def test_changed_recipe_is_refused_with_the_difference(go):
    go()
    with pytest.raises(UsageError, match=r"other settings \(optim.lr: 0.002 -> 0.5\): repeat its settings"):
        go("optim.lr=0.5")


def test_precision_of_another_machine_is_refused(go, monkeypatch):
    monkeypatch.setattr(precision, "_multiplies_bf16", lambda: False)
    go()
    monkeypatch.setattr(precision, "_multiplies_bf16", lambda: True)
    with pytest.raises(UsageError, match="train.precision: fp32 -> bf16"):
        go()
    assert go("train.precision=fp32").step == 4


def test_changed_data_is_refused(go, toy_dataset):
    go()
    with pytest.raises(UsageError, match=r"other settings \(the contents of column vq.toy\)"):
        go(data=toy_dataset("more", num_samples=13))


def test_damaged_newest_checkpoint_falls_back_aloud_and_is_made_again(go, tmp_path, said):
    go()
    broken = tmp_path / "run" / "checkpoints" / "step-000004" / "model.safetensors"
    sound = broken.read_bytes()
    broken.write_bytes(sound[:-3])
    with pytest.raises(DamageError, match="step-000004 is damaged, model.safetensors does not match"):
        go(fall_back=False)
    said.clear()
    assert go().step == 4
    assert "Falling back to the checkpoint before it" in said[0]
    assert said[1].startswith("Going on from step 2 of 4")
    assert broken.read_bytes() == sound  # bitwise: resumed equals unbroken


def test_all_checkpoints_damaged_stops(go, tmp_path):
    go()
    for state in (tmp_path / "run" / "checkpoints").glob("*/state.json"):
        state.unlink()
    with pytest.raises(DamageError, match="All 2 checkpoints in .* are damaged"):
        go()


def test_two_jobs_on_one_run(go, tmp_path):
    go()
    with hold(tmp_path / "run"), pytest.raises(MachineError, match="is being written by process"):
        go()


def test_folder_that_holds_something_else(go, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="is not empty and holds no run: choose another --out"):
        go()


def test_out_is_a_file(go, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="is a file: give --out a folder"):
        go()


def test_out_that_cannot_be_made(toy_dataset, tmp_path):
    (tmp_path / "file").write_text("")
    recipe = override(load_recipe("vimpac-tiny"), list(TINY))
    options = RunOptions(device="cpu", say=print)
    with pytest.raises(MachineError, match=r"run cannot be made \(Not a directory\): choose another --out"):
        pretrain(recipe, data=toy_dataset(), out=tmp_path / "file" / "run", options=options)


def test_empty_folder_and_a_run_killed_before_its_first_checkpoint_are_started(go, tmp_path):
    (tmp_path / "run").mkdir()
    assert go("train.max_steps=1").step == 1
    for path in (tmp_path / "run" / "checkpoints").glob("*/*"):
        path.unlink()
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.rmdir()
    assert go("train.max_steps=2", "optim.lr=0.1").step == 2


def test_no_checkpoint(tmp_path):
    with pytest.raises(UsageError, match="holds no checkpoint: make one with"):
        newest_checkpoint(tmp_path, options=RunOptions(say=print))


def test_no_such_split(go):
    with pytest.raises(
        UsageError,
        match=r"no sample of split 'test': choose one of these: train \(8\), val \(4\), all \(12\)\.",
    ):
        go("data.split=test")


def test_no_such_column(go):
    with pytest.raises(UsageError, match="no column 'hog'"):
        go("data.column=hog")


def test_no_dataset(go, tmp_path):
    with pytest.raises(UsageError, match="is not a vfm dataset"):
        go(data=tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("train.max_steps=none", "train.epochs=1", "train.batch_size=64"), "A batch of 64 is more than"),
        (("train.max_steps=3", "train.batch_size=13"), "A batch of 13 is more than the 12 samples"),
        (("train.batch_size=12", "train.micro_batch_size=5"), "do not divide into micro-batches of 5"),
        (("model.vocab_size=7",), "model.vocab_size=7, but the data has 16"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(go, tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        go(*settings)
    assert not (tmp_path / "run").exists()
