"""Checkpoints: a folder per step, hashed, complete or absent, and the newest sound one when asked.

    RUN/checkpoints/step-000100/model.safetensors   parameters and buffers
    RUN/checkpoints/step-000100/optim.safetensors   the optimizer's moments
    RUN/checkpoints/step-000100/ema.safetensors     the average of the weights, where one is kept
    RUN/checkpoints/step-000100/state.json          where the run stands, hashes of these and of itself

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

from vfm.shards.errors import DamageError, MachineError
from vfm.shards.io.atomic import sync_folder
from vfm.shards.io.hashing import sha256_file
from vfm.shards.io.sealed import read_sealed, write_sealed
from vfm.trainer.engine.checkpoint_state import (
    EMA,
    MODEL,
    OPTIM,
    STATE,
    check_state,
    folder_name,
    no_state,
    with_columns,
)

_NAME = re.compile(r"step-\d{6,}")


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
        return self._weights(MODEL)

    @property
    def has_average(self) -> bool:
        """Whether an average of the weights is kept."""
        return EMA in self.state["files"]

    def average(self) -> dict[str, Tensor]:
        """Return the average of what `model` returns, which `has_average` says that there is."""
        return self._weights(EMA)

    def optim(self) -> dict[str, Tensor]:
        """Return the optimizer's tensors; MachineError where the checkpoint has been removed."""
        return self._load(OPTIM)

    def _weights(self, name: str) -> dict[str, Tensor]:
        tensors, tied = self._load(name), self.state["tied"]
        if lost := sorted(set(tied.values()) - tensors.keys()):
            raise no_state(self.path, why=f"it ties to {lost[0]!r}, which {name} does not hold")
        return {**tensors, **{alias: tensors[name] for alias, name in tied.items()}}

    def _load(self, name: str) -> dict[str, Tensor]:
        try:
            return safetensors.torch.load_file(self.path / name)
        except FileNotFoundError:
            raise MachineError(
                f"{self.path} was removed while it was read, as a run that still trains there does with old "
                "ones: run the same command again."
            ) from None


def save(
    folder: Path,
    *,
    state: dict[str, Any],
    model: dict[str, Tensor],
    optim: dict[str, Tensor],
    average: dict[str, Tensor] | None = None,
) -> Path:
    """Write the checkpoint of step ``state["step"]`` into ``folder`` and return its path.

    Args:
        folder: of all checkpoints.
        state: the values of ``state.json``.
        model: parameters and buffers.
        optim: the optimizer's tensors.
        average: of the model, under the same names but those that are tied; None where none is kept.

    Raises:
        OSError: the disk is full or refuses; nothing has appeared then.
    """
    path = folder / folder_name(state["step"])
    temp = folder / f".{path.name}.tmp"
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(parents=True)
    try:
        distinct, tied = untie(model)
        tensors = {MODEL: distinct, OPTIM: optim} | ({} if average is None else {EMA: average})
        files = {name: _write(temp / name, found) for name, found in tensors.items()}
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
        state = with_columns(read_sealed(path / STATE))
        check_state(state, path=path)
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


def save_tensors(
    tensors: dict[str, Tensor], path: Path, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors of which no two share memory, and metadata, as safetensors.

    Raises:
        OSError: the disk is full or refuses.
    """
    try:
        safetensors.torch.save_file(tensors, path, metadata=dict(metadata or {}) or None)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _write(path: Path, tensors: dict[str, Tensor]) -> dict[str, Any]:
    save_tensors(tensors, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}


def _paths(folder: Path) -> list[Path]:
    """Return the checkpoint folders, newest first."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.partition("-")[2])
