import pickle
import sys
from argparse import Namespace
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

from support.weights import MakesFolder
from vfm.shards.errors import MachineError, UsageError
from vfm.trainer.weights.files import check_name, num_parameters, read_weights, write_weights


@pytest.mark.parametrize("container", ["model_state", "state_dict", "model", "module"])
def test_tensors_are_taken_out_of_the_containers_of_training_scripts(tmp_path, container):
    state = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.float16)}
    torch.save({container: state, "epoch": 7, "cfg": "MODEL: x"}, tmp_path / "x.pyth")
    found = read_weights(tmp_path / "x.pyth")
    assert found.tensors.keys() == state.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in state.items())
    assert found.metadata == {}


def test_names_lose_what_data_parallel_training_puts_before_them(tmp_path):
    torch.save({"module.a": torch.ones(1), "module.b": torch.ones(1)}, tmp_path / "x.pth")
    assert read_weights(tmp_path / "x.pth").tensors.keys() == {"a", "b"}


def test_safetensors_and_what_they_say(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors", metadata={"from": "there"})
    found = read_weights(tmp_path / "x.safetensors")
    assert (found.tensors["a"].tolist(), found.metadata) == ([1.0, 1.0], {"from": "there"})


def test_safetensors_are_told_from_pickles_whatever_their_length(tmp_path):
    begins = set()
    for length in range(2000, 2600, 8):  # of the header, whose length is how the file begins
        save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors", metadata={"from": "x" * length})
        assert read_weights(tmp_path / "x.safetensors").metadata == {"from": "x" * length}
        begins.add((tmp_path / "x.safetensors").read_bytes()[:1])
    assert b"\x80" in begins  # as a pickle does


def test_a_pickle_that_runs_code_is_refused_and_nothing_is_run(tmp_path):
    made = tmp_path / "made"
    torch.save({"model_state": {"a": torch.ones(1)}, "optimizer": MakesFolder(made)}, tmp_path / "x.pyth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"a": MakesFolder(made)}))
    for name in ("x.pyth", "old.pth"):
        with pytest.raises(UsageError, match=f"{name} is a pickle that asks for more than tensors"):
            read_weights(tmp_path / name)
    assert not made.exists()


def test_what_is_damaged_or_holds_no_weights_is_one_sentence(tmp_path):
    torch.save({"a": torch.ones(2000)}, tmp_path / "whole.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:2000])
    save_file({"a": torch.ones(1000)}, tmp_path / "whole.safetensors")
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:2000])
    (tmp_path / "third.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:5000])
    torch.save({"a": torch.ones(1000)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "older.pth").write_bytes((tmp_path / "old.pth").read_bytes()[:1000])
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    damaged = ("half.pth", "third.pth", "older.pth", "half.safetensors", "text.pth", "empty.pth")
    for name in damaged:
        with pytest.raises(UsageError, match=f"{name} cannot be read as weights .*: fetch it again") as told:
            read_weights(tmp_path / name)
        assert "\n" not in str(told.value)
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    torch.save(torch.ones(2), tmp_path / "tensor.pth")
    for name in ("none.pth", "tensor.pth"):
        with pytest.raises(UsageError, match="holds no tensors by name"):
            read_weights(tmp_path / name)
    with pytest.raises(UsageError, match=r"cannot be read \(No such file"):
        read_weights(tmp_path / "absent.pth")


def test_files_are_written_as_they_are_read(tmp_path):
    state = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.ones(2)}
    write_weights(tmp_path / "new/x.safetensors", state, container="", metadata={"k": "v"})
    assert read_weights(tmp_path / "new/x.safetensors").metadata == {"k": "v"}
    assert torch.equal(load_file(tmp_path / "new/x.safetensors")["a"], state["a"])
    write_weights(tmp_path / "x.pyth", state, container="model_state", metadata={})
    stored = torch.load(tmp_path / "x.pyth", weights_only=True)
    assert stored.keys() == {"model_state"}
    assert torch.equal(stored["model_state"]["a"], state["a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "x.pyth"]


def test_tensors_of_one_memory_are_written_one_by_one(tmp_path):
    table = torch.arange(6.0)
    state = {"a": table, "tied": table, "view": table[2:], "empty": torch.ones(0), "none": torch.ones(0)}
    write_weights(tmp_path / "x.safetensors", state, container="", metadata={})
    stored = read_weights(tmp_path / "x.safetensors").tensors
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in state.items())


def test_arguments_of_a_script_are_no_obstacle(tmp_path):
    torch.save({"model": {"a": torch.ones(1)}, "args": Namespace(lr=1.0)}, tmp_path / "x.pth")
    assert read_weights(tmp_path / "x.pth").tensors.keys() == {"a"}


class EasyDict(dict):
    """Settings as scripts of UMT's second stage keep them, from which a pickle makes what it names."""


def test_settings_of_umts_scripts_are_no_obstacle_and_none_of_their_code_is_run(tmp_path, monkeypatch):
    module = ModuleType("utils.easydict")
    module.EasyDict = EasyDict
    monkeypatch.setattr(EasyDict, "__module__", "utils.easydict")
    settings = EasyDict(num_frames=4, model=EasyDict(dim=[1, 2]))
    settings.num_frames = 4  # which they are attributes of, too
    with monkeypatch.context() as there:
        there.setitem(sys.modules, "utils", ModuleType("utils"))
        there.setitem(sys.modules, "utils.easydict", module)
        saved = {"model": {"a": torch.ones(1)}, "config": settings, "epoch": 1, "global_step": 7}
        torch.save(saved, tmp_path / "x.pth")
    assert "utils.easydict" not in sys.modules
    assert read_weights(tmp_path / "x.pth").tensors.keys() == {"a"}


def test_a_disk_that_refuses_leaves_nothing(tmp_path, monkeypatch):
    def full(*_arguments, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(MachineError, match="x.pth cannot be written"):
        write_weights(tmp_path / "x.pth", {"a": torch.ones(1)}, container="model", metadata={})
    assert list(tmp_path.iterdir()) == []


def test_names_of_files_are_checked_before_anything_is_read(tmp_path):
    with pytest.raises(UsageError, match=r"x.npz does not end with .safetensors, .pth, .pyth, .pt or .bin"):
        check_name(tmp_path / "x.npz")
    (tmp_path / "x.pth").touch()
    with pytest.raises(UsageError, match="exists and is not written over"):
        check_name(tmp_path / "x.pth")
    check_name(tmp_path / "y.pt")


def test_numbers_are_counted():
    assert num_parameters({"a": torch.ones(2, 3), "b": torch.ones(())}) == 7
