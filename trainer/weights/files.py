"""Files of weights: safetensors, or pickles of torch out of which nothing but tensors is taken."""

import math
import warnings
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.io.atomic import naming, publish, temp_path
from vfm.shards.io.faults import disk_faults
from vfm.trainer.engine.checkpoint import save_tensors, untie
from vfm.trainer.weights.options import FOLDERS, Options, read_options

State = dict[str, Tensor]

SAFETENSORS = ".safetensors"
PICKLES = (".pth", ".pyth", ".pt", ".bin")
# What training scripts put around the tensors; the first that is there counts.
_CONTAINERS = ("model_state", "state_dict", "model", "module")
_DAMAGES = (SafetensorError, BadZipFile, RuntimeError, ValueError, EOFError, LookupError, TypeError, OSError)
# What pickles hold a script's settings in; those of UMT's second stage become a dict that runs nothing.
_SETTINGS = (Namespace, (OrderedDict, "utils.easydict.EasyDict"))
_PARALLEL = "module."  # what DistributedDataParallel puts before every name


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """What was read of a file.

    Attributes:
        path: of the file.
        tensors: by name, on the CPU, as they are stored.
        metadata: what safetensors say beside them.
        options: what the project says of the network, in the file or beside it; empty where it does not.
    """

    path: Path
    tensors: State
    metadata: Mapping[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=dict)


def weights_in(folder: Path) -> Path | None:
    """Return the file of weights in a folder as other projects save them; None where there is none."""
    return next((folder / name for name in FOLDERS if (folder / name).is_file()), None)


def read_weights(path: Path) -> WeightsFile:
    """Return the tensors of a file, out of the containers around them, and the options beside them.

    Args:
        path: of the file, or of a folder of another project with such a file.

    Raises:
        UsageError: there is no such file, it is damaged or holds no tensors, or it is a pickle that would
            run code.
    """
    found = _read_file(_file_in(path) if path.is_dir() else path)
    beside = found.path.parent / FOLDERS.get(found.path.name, "")
    return replace(found, options=read_options(beside)) if beside.is_file() else found


def _file_in(folder: Path) -> Path:
    if (found := weights_in(folder)) is None:
        raise UsageError(f"{folder} holds none of {', '.join(FOLDERS)}: name a file or folder of weights.")
    return found


def _read_file(path: Path) -> WeightsFile:
    try:
        with path.open("rb") as file:
            begin = file.read(9)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name a file of weights.") from None
    is_zip = begin.startswith(b"PK")
    try:
        # Of safetensors the length of a JSON object comes first, which may begin as pickles do.
        if begin[8:] == b"{" or not (is_zip or begin.startswith(b"\x80")):
            return _read_safetensors(path)
        # torch warns of pickles that others wrote before it reads them; many hold the arguments of a script.
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(_SETTINGS)):
            warnings.simplefilter("ignore")
            value = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except UnpicklingError:
        raise UsageError(
            f"{path} is a pickle that asks for more than tensors, which could run code, and is not opened: "
            "save its tensors as safetensors where it comes from."
        ) from None
    # torch tells of damaged files by many kinds of error, of a zip without its end as what cannot be mapped.
    except _DAMAGES as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise UsageError(f"{path} cannot be read as weights ({reason}): fetch it again.") from None
    tensors = _unwrapped(value)
    if not tensors:
        raise UsageError(f"{path} holds no tensors by name: give a file with the weights of a network.")
    return WeightsFile(path=path, tensors=tensors, options=_arguments(value))


def _read_safetensors(path: Path) -> WeightsFile:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        return WeightsFile(path=path, tensors=tensors, metadata=file.metadata() or {})


def _arguments(value: Any) -> Options:
    """Return the arguments of the script that wrote a file, where they lie beside the tensors."""
    found = value.get("args") if isinstance(value, dict) else None
    return vars(found) if isinstance(found, Namespace) else {}


def _unwrapped(value: Any) -> State:
    while isinstance(value, dict) and (inner := next((n for n in _CONTAINERS if n in value), None)):
        value = value[inner]
    found = value.items() if isinstance(value, dict) else ()
    tensors = {str(name): tensor for name, tensor in found if isinstance(tensor, Tensor)}
    if tensors and all(name.startswith(_PARALLEL) for name in tensors):
        return {name.removeprefix(_PARALLEL): tensor for name, tensor in tensors.items()}
    return tensors


def check_name(path: Path) -> None:
    """Refuse to write weights where they would not be found, or over others.

    Raises:
        UsageError: the file has another ending than those of weights, or exists.
    """
    endings = (SAFETENSORS, *PICKLES)
    if path.suffix not in endings:
        raise UsageError(f"{path} does not end with {', '.join(endings[:-1])} or {endings[-1]}: name it so.")
    if path.exists():
        raise UsageError(f"{path} exists and is not written over: choose another name, or remove it.")


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], *, container: str, metadata: Mapping[str, str]
) -> None:
    """Write a new file, which appears whole or not at all.

    Args:
        path: with an ending that `check_name` allows: safetensors, or else a pickle.
        tensors: by name.
        container: the key that a pickle has them under; empty for a pickle of them alone.
        metadata: kept by safetensors alone.

    Raises:
        MachineError: the disk is full or does not allow it.
    """
    temp = temp_path(path)
    distinct, tied = untie(dict(tensors))
    own = distinct | {alias: distinct[name].clone() for alias, name in tied.items()}
    try:
        with disk_faults(path), naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == SAFETENSORS:
                save_tensors(own, temp, metadata=metadata)
            else:
                torch.save({container: own} if container else own, temp)
            with temp.open("rb") as file:
                publish(file, path)
    finally:
        temp.unlink(missing_ok=True)


def num_parameters(tensors: Mapping[str, Tensor]) -> int:
    """Return how many numbers tensors hold."""
    return sum(math.prod(tensor.shape) for tensor in tensors.values())
