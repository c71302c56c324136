import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from vfm.shards.errors import DamageError
from vfm.trainer import checkpoint
from vfm.trainer.checkpoint import MODEL, OPTIM, STATE, newest, prune, read, save, untie

FILES = (MODEL, OPTIM, STATE)


def write(folder, step):
    weight = torch.arange(6.0).reshape(2, 3) + step
    model = {"embed.weight": weight, "decoder.weight": weight, "norm.count": torch.tensor(step)}
    optim = {"step/embed.weight": torch.tensor(float(step)), "exp_avg/embed.weight": weight / 2}
    return save(folder, state={"step": step, "note": "ünïcode"}, model=model, optim=optim)


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

    def refuse(*_args):
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
    assert set(state) == {"step", "note", "tied", "files", "self_sha256"}
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
