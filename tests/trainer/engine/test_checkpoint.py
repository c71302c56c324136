import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from vfm.shards.errors import DamageError, MachineError
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.trainer.engine import checkpoint
from vfm.trainer.engine.checkpoint import fill, newest, prune, read, save, untie
from vfm.trainer.engine.checkpoint_state import MODEL, OPTIM, STATE

FILES = (MODEL, OPTIM, STATE)


def write(folder, step):
    weight = torch.arange(6.0).reshape(2, 3) + step
    model = {"embed.weight": weight, "decoder.weight": weight, "norm.count": torch.tensor(step)}
    optim = {"step/embed.weight": torch.tensor(float(step)), "exp_avg/embed.weight": weight / 2}
    state = {
        "step": step,
        "num_steps": 2_000_000,
        "place": {"seed": 0, "epoch": 0, "samples_seen": step},
        "meter": {"num_updates": 1, "sums": {"loss": 0.5}},
        "elapsed_s": 1.5,
        "recipe": {},
        "dataset": "0" * 64,
        "classes": ["left"],
        "columns": {},
        "origin": {},
        "note": "ünïcode",
    }
    return save(folder, state=state, model=model, optim=optim)


def test_comes_back_as_it_was(tmp_path):
    path = write(tmp_path, 7)
    found = read(path)
    assert path.name == "step-000007"
    assert found.step == 7
    assert found.state["note"] == "ünïcode"
    assert found.state["tied"] == {"decoder.weight": "embed.weight"}
    model = found.model()
    assert model["decoder.weight"] is model["embed.weight"]
    assert model["embed.weight"].tolist() == [[7, 8, 9], [10, 11, 12]]
    assert model["norm.count"].dtype == torch.int64
    assert found.optim()["exp_avg/embed.weight"].tolist() == [[3.5, 4, 4.5], [5, 5.5, 6]]


def test_newest_is_by_number_not_by_text(tmp_path):
    for step in (999_999, 1_000_000, 3):
        write(tmp_path, step)
    assert newest(tmp_path, fall_back=True, say=print).step == 1_000_000


def test_no_checkpoint_is_none(tmp_path):
    assert newest(tmp_path / "missing", fall_back=True, say=print) is None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_damaged_newest_falls_back_aloud(tmp_path, name, damage):
    write(tmp_path, 1)
    path = write(tmp_path, 2) / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes({"flip": data, "cut": data[:-1], "empty": b"", "missing": b""}[damage])
    if damage == "missing":
        path.unlink()
    said = []
    assert newest(tmp_path, fall_back=True, say=said.append).step == 1
    assert len(said) == 1
    assert "step-000002" in said[0]
    assert name in said[0]
    assert "Falling back to the checkpoint before it" in said[0]
    with pytest.raises(DamageError, match=f"step-000002.*{name}"):
        newest(tmp_path, fall_back=False, say=said.append)


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_found(tmp_path, name):
    path = write(tmp_path, 1) / name
    data = path.read_bytes()
    for position in range(0, len(data), max(len(data) // 60, 1)):
        broken = bytearray(data)
        broken[position] ^= 1 << position % 8
        path.write_bytes(broken)
        with pytest.raises(DamageError):
            read(path.parent)


def test_all_damaged_is_an_error(tmp_path):
    for step in (1, 2):
        (write(tmp_path, step) / MODEL).unlink()
    with pytest.raises(DamageError, match="All 2 checkpoints in .* are damaged: restore one"):
        newest(tmp_path, fall_back=True, say=lambda _: None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"step": "2"}, "step is '2', but must be a whole number"),
        ({"step": 3}, "its step is 3"),
        ({"place": None}, "place is None, but must be an object"),
        ({"place": {"epoch": 0}}, "lacks the key place.seed"),
        ({"place": {"seed": -1}}, "Seed -1, epoch 0 and samples seen 0 name no place"),
        ({"meter": {"num_updates": -1, "sums": {}}}, "meter.num_updates is -1"),
        ({"meter": {"num_updates": 1, "sums": {"loss": "x"}}}, "meter.sums.loss is 'x'"),
        ({"recipe": []}, r"recipe is \[\], but must be an object"),
        ({"fit": {"seconds_apart": "x"}}, "fit.seconds_apart is 'x', but must be a number or none"),
        ({"files": {}}, "it names other files than model.safetensors, optim.safetensors and ema.safetensors"),
        ({"files": {MODEL: {"sha256": 1, "size_bytes": 1}}}, "files.model.safetensors.sha256 is 1"),
    ],
)
def test_a_forged_state_is_one_sentence(tmp_path, change, told):
    write(tmp_path, 1)
    path = write(tmp_path, 2)
    write_sealed(path / STATE, {**read_sealed(path / STATE), **change})
    with pytest.raises(
        DamageError, match=rf"state\.json is not one that vfm wrote \(.*{told}.*\): restore it"
    ):
        read(path)
    said = []
    assert newest(tmp_path, fall_back=True, say=said.append).step == 1
    assert "Falling back to the checkpoint before it" in said[0]


@pytest.mark.parametrize(
    "name", ["step", "num_steps", "place", "meter", "recipe", "tied", "files", "dataset"]
)
def test_a_state_that_lacks_a_key_is_one_sentence(tmp_path, name):
    path = write(tmp_path, 2)
    state = read_sealed(path / STATE)
    del state[name]
    write_sealed(path / STATE, state)
    with pytest.raises(DamageError, match=f"not one that vfm wrote .it lacks the key {name}.: restore it"):
        read(path)


def test_a_second_name_of_no_tensor_is_one_sentence(tmp_path):
    path = write(tmp_path, 2)
    write_sealed(path / STATE, {**read_sealed(path / STATE), "tied": {"a": "nothing"}})
    with pytest.raises(DamageError, match="it ties to 'nothing', which model.safetensors does not hold"):
        read(path).model()


@pytest.mark.parametrize("part", ["model", "optim"])
def test_a_checkpoint_that_a_running_training_has_removed_is_one_sentence(tmp_path, part):
    found = read(write(tmp_path, 2))
    for step in (3, 4):
        write(tmp_path, step)
    prune(tmp_path, keep=2)
    with pytest.raises(MachineError, match="step-000002 was removed .* run the same command again"):
        getattr(found, part)()


def test_weights_of_another_model_are_one_sentence():
    module = torch.nn.Linear(2, 1)
    fill(module, {"weight": torch.ones(1, 2), "bias": torch.ones(1)})
    assert module.weight.tolist() == [[1, 1]]
    for tensors, first in (
        ({"weight": torch.ones(1, 2)}, "bias"),
        ({"weight": torch.ones(2, 2), "bias": torch.ones(1)}, "weight"),
        ({**module.state_dict(), "more": torch.ones(1)}, "more"),
    ):
        with pytest.raises(DamageError, match=f"not those of its recipe, the first is {first}: restore"):
            fill(module, tensors)


def test_a_pickle_is_never_opened(tmp_path):
    path = write(tmp_path, 1)
    torch.save({"weight": torch.ones(1)}, path / MODEL)
    with pytest.raises(DamageError, match="does not match its sha256"):
        read(path)


def test_damaged_one_is_replaced_when_its_step_comes_again(tmp_path):
    path = write(tmp_path, 2)
    (path / OPTIM).write_bytes(b"x")
    write(tmp_path, 2)
    assert read(path).step == 2


def test_interrupted_save_leaves_the_old_ones(tmp_path, monkeypatch):
    write(tmp_path, 1)

    def refuse(*_args, **_named):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint.safetensors.torch, "save_file", refuse)
    with pytest.raises(OSError, match="No space left") as error:
        write(tmp_path, 2)
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename.endswith(MODEL)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_prune_keeps_the_newest_and_clears_the_half_written(tmp_path):
    for step in (2, 10, 5, 7):
        write(tmp_path, step)
    (tmp_path / ".step-000012.tmp").mkdir()
    (tmp_path / "notes").mkdir()
    prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "step-000007", "step-000010"]


def test_untie_tells_views_from_the_same_memory():
    weight = torch.arange(6.0).reshape(2, 3)
    distinct, tied = untie({"a": weight, "b": weight, "t": weight.T, "row": weight[0], "e": torch.empty(0)})
    assert tied == {"b": "a"}
    assert distinct["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert distinct["row"].tolist() == [0, 1, 2]
    assert len({tensor.untyped_storage().data_ptr() for tensor in distinct.values()}) == len(distinct)


def test_state_is_readable_text(tmp_path):
    state = json.loads((write(tmp_path, 1) / STATE).read_text())
    assert {"step", "note", "tied", "files", "self_sha256"} <= set(state)
    assert set(state["files"]) == {MODEL, OPTIM}


def test_every_file_is_on_the_disk_before_the_checkpoint_has_its_name(tmp_path, monkeypatch):
    synced, missing, sync, rename = set(), [], os.fsync, os.replace

    def note(descriptor):
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def look(source, target):
        if Path(source).is_dir():
            missing.extend(path.name for path in Path(source).iterdir() if path.stat().st_ino not in synced)
            missing.append("looked")
        rename(source, target)

    monkeypatch.setattr("os.fsync", note)
    monkeypatch.setattr("os.replace", look)
    path = write(tmp_path, 1)
    assert len(list(path.iterdir())) == 3
    assert missing == ["looked"]
    assert tmp_path.stat().st_ino in synced  # the name too
