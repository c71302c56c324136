"""Checkpoints: a folder per step, hashed, complete or absent, and the newest sound one when asked.

    RUN/checkpoints/step-000100/model.safetensors   parameters and buffers
    RUN/checkpoints/step-000100/optim.safetensors   the optimizer's moments
    RUN/checkpoints/step-000100/state.json          where the run stands, hashes of the two and of itself

A folder is written under a hidden name, its files flushed, and renamed: a reader never sees half of one.
"""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vfm.shards.errors import DamageError, MachineError, UsageError
from vfm.shards.io.atomic import sync_folder
from vfm.shards.io.hashing import sha256_file
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.shards.io.typed import coerce
from vfm.shards.order import Place
from vfm.trainer.engine.validation import Standing

MODEL, OPTIM, STATE = "model.safetensors", "optim.safetensors", "state.json"
_NAME = re.compile(r"step-\d{6,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    options: dict[str, Any]
    tars_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meter:
    num_updates: int
    sums: dict[str, float]


# What is read of a state; there may be more in it.
_TYPES: dict[str, Any] = {
    "step": int,
    "num_steps": int,
    "place": Place,
    "meter": _Meter,
    "elapsed_s": float,
    "recipe": dict[str, Any],
    "dataset": str,
    "classes": tuple[str, ...],
    "columns": dict[str, _Column],
    "origin": dict[str, Any],
    "fit": dict[str, float | None],
    "method": dict[str, str],
    "validation": Standing,
    "tied": dict[str, str],
    "files": dict[str, _File],
}
_OPTIONAL = ("fit", "method", "validation")  # absent before 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint on disk whose every byte was checked against its hash.

    Attributes:
        path: its folder.
        state: the values of ``state.json``; ``step`` is the number of updates done.
    """

    path: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Updates done."""
        return int(self.state["step"])

    def model(self) -> dict[str, Tensor]:
        """Return the parameters and buffers, shared ones under each of their names, as one tensor.

        Raises:
            DamageError: a tensor that is to have a second name is not there.
            MachineError: the checkpoint has been removed since it was read.
        """
        tensors = self._load(MODEL)
        tied = self.state["tied"]
        if lost := sorted(set(tied.values()) - tensors.keys()):
            raise _no_state(self.path, why=f"it ties to {lost[0]!r}, which {MODEL} does not hold")
        return {**tensors, **{alias: tensors[name] for alias, name in tied.items()}}

    def optim(self) -> dict[str, Tensor]:
        """Return the optimizer's tensors; MachineError where the checkpoint has been removed."""
        return self._load(OPTIM)

    def _load(self, name: str) -> dict[str, Tensor]:
        try:
            return safetensors.torch.load_file(self.path / name)
        except FileNotFoundError:
            raise MachineError(
                f"{self.path} was removed while it was read, as a run that still trains there does with old "
                "ones: run the same command again."
            ) from None


def save(folder: Path, *, state: dict[str, Any], model: dict[str, Tensor], optim: dict[str, Tensor]) -> Path:
    """Write the checkpoint of step ``state["step"]`` into ``folder`` and return its path.

    Raises:
        OSError: the disk is full or refuses; nothing has appeared then.
    """
    path = folder / _name(state["step"])
    temp = folder / f".{path.name}.tmp"
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(parents=True)
    try:
        distinct, tied = untie(model)
        files = {MODEL: _write(temp / MODEL, distinct), OPTIM: _write(temp / OPTIM, optim)}
        write_sealed(temp / STATE, {**state, "tied": tied, "files": files})
        if path.exists():  # a damaged one of the same step, met on the way back to it
            shutil.rmtree(path)
        os.replace(temp, path)
        sync_folder(folder)
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return path


def prune(folder: Path, *, keep: int) -> None:
    """Remove all checkpoints but the ``keep`` newest, and what killed runs left half-written."""
    for path in _paths(folder)[keep:]:
        shutil.rmtree(path)
    for path in folder.glob(".step-*"):
        shutil.rmtree(path)


def discard_after(folder: Path, *, step: int) -> None:
    """Remove the checkpoints of later steps, which a run that goes on from ``step`` has not done."""
    for path in _paths(folder):
        if _step(path) > step:
            shutil.rmtree(path)


def newest(folder: Path, *, fall_back: bool, say: Callable[[str], None]) -> Checkpoint | None:
    """Return the newest sound checkpoint in ``folder``, None when there are no checkpoints at all.

    Damaged ones are passed over, each with one sentence to ``say``.

    Raises:
        DamageError: the newest is damaged and ``fall_back`` is off, or all are.
    """
    damaged: list[Path] = []
    for path in _paths(folder):
        try:
            found = read(path)
        except DamageError as error:
            if not fall_back:
                raise
            damaged.append(path)
            say(f"{error} Falling back to the checkpoint before it.")
        else:
            return found
    if damaged:
        raise DamageError(
            f"All {len(damaged)} checkpoints in {folder} are damaged: restore one from a copy, or start over "
            f"with another --out."
        )
    return None


def read(path: Path) -> Checkpoint:
    """Return the checkpoint in the folder ``path`` after checking every byte of it.

    Raises:
        DamageError: a file is missing or is not as it was written.
    """
    try:
        state = _with_columns(read_sealed(path / STATE))
        _check(state, path=path)
        for name, file in state["files"].items():
            if sha256_file(path / name) != file["sha256"]:
                raise DamageError(f"{path} is damaged, {name} does not match its sha256.")
    except FileNotFoundError as error:
        raise DamageError(f"{path} is damaged, {Path(error.filename).name} is missing.") from error
    return Checkpoint(path=path, state=state)


def fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a module all the tensors of a checkpoint's model.

    Raises:
        DamageError: they are not those of this module.
    """
    own = {name: tensor.shape for name, tensor in module.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if other := sorted(name for name in own | found if own.get(name) != found.get(name)):
        raise DamageError(
            f"The weights of the checkpoint are not those of its recipe, the first is {other[0]}: restore it "
            "from a copy."
        )
    module.load_state_dict(tensors)


def untie(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Split tensors into distinct ones and second names of the same memory.

    safetensors stores no memory twice. A tied weight (an embedding and its decoder) is stored under its first
    name; its other names are returned as ``{other: first}``.
    """
    first: dict[tuple[object, ...], str] = {}
    distinct: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    storages: set[tuple[object, int]] = set()
    for name, tensor in tensors.items():
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and place in first:
            tied[name] = first[place]
            continue
        first[place] = name
        storage = (tensor.device, tensor.untyped_storage().data_ptr())
        # Two views of one memory that are not the same tensor: the second gets memory of its own.
        own = tensor.detach().clone() if storage in storages else tensor.detach()
        storages.add(storage)
        distinct[name] = own.cpu().contiguous()
    return distinct, tied


def _write(path: Path, tensors: dict[str, Tensor]) -> dict[str, Any]:
    try:
        safetensors.torch.save_file(tensors, path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}


def _check(state: dict[str, Any], *, path: Path) -> None:
    """Refuse a state that no run writes, though its hash is right."""
    if lacking := [name for name in _TYPES if name not in state and name not in _OPTIONAL]:
        raise _no_state(path, why=f"it lacks the key {lacking[0]}")
    try:
        for name in _TYPES.keys() & state.keys():
            coerce(state[name], _TYPES[name], key=name)
    except (ValueError, UsageError) as error:
        raise _no_state(path, why=str(error).rstrip(".")) from None
    if path.name != _name(state["step"]):
        raise _no_state(path, why=f"its step is {state['step']}")
    if state["files"].keys() != {MODEL, OPTIM}:
        raise _no_state(path, why=f"it names other files than {MODEL} and {OPTIM}")
    if state["meter"]["num_updates"] < 0:
        raise _no_state(path, why=f"meter.num_updates is {state['meter']['num_updates']}")


def _with_columns(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state from before 0.2, which knew of one column alone, as it is written today."""
    recipe = state.get("recipe")
    if not isinstance(recipe, dict) or "column" not in state:
        return state
    data = recipe.get("data")
    if not isinstance(data, dict) or "column" not in data:
        return state
    one = data["column"]
    others = {key: value for key, value in state.items() if key != "column"}
    config = {"columns": [one], **{key: value for key, value in data.items() if key != "column"}}
    columns = {str(one): {"options": state["column"], "tars_sha256": None}}
    return {**others, "recipe": {**recipe, "data": config}, "columns": columns}


def _no_state(path: Path, *, why: str) -> DamageError:
    return DamageError(f"{path / STATE} is not one that vfm wrote ({why}): restore it from a copy.")


def _name(step: int) -> str:
    return f"step-{step:06d}"


def _paths(folder: Path) -> list[Path]:
    """Return the checkpoint folders, newest first."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.partition("-")[2])
