"""The tensors of a TorchScript archive, read without running it: OpenAI publishes CLIP as such programs.

An archive is a zip whose ``data.pkl`` describes the module as objects with attributes, and whose folder
``data`` holds the bytes of each storage. Of the pickle only what builds such objects is understood.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_DTYPES = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16}
_MAX_PICKLE_BYTES = 64 << 20  # a module's description; the tensors are files of their own


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a program of TorchScript, and not a pickled state dict or no zip at all."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return the floating-point parameters and buffers of a module, by their dotted names.

    Raises:
        UnpicklingError: the description asks for something else than objects and tensors.
        ValueError: it is larger than any module's description.
    """
    with zipfile.ZipFile(path) as archive:
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix(
            "data.pkl"
        )
        if archive.getinfo(root + "data.pkl").file_size > _MAX_PICKLE_BYTES:
            raise ValueError("its description is too large")
        with archive.open(root + "data.pkl") as file:
            module = _Reader(file, archive=archive, root=root).load()
    return dict(_tensors(module, prefix=""))


class _Object:
    """Stands for a module in the pickle: it keeps what it is given and does nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _Storage:
    """Names a type of storage in the pickle."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Reader(pickle.Unpickler):
    """Builds modules as `_Object` and tensors from their bytes; refuses every other name."""

    def __init__(self, file: Any, *, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive = archive
        self._root = root

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name of the pickle; nothing is imported."""
        if module.startswith("__torch__"):
            return _Object
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle":  # build_intlist and its kin, for attributes that are lists
            return list
        if module == "torch" and name.endswith("Storage"):
            return _Storage(name)
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor | None:
        """Return the numbers of a storage, None where they are of a type that no weight has."""
        _, storage, key, _, _ = pid
        dtype = _DTYPES.get(storage.name)
        if dtype is None:
            return None
        return torch.frombuffer(bytearray(self._archive.read(f"{self._root}data/{key}")), dtype=dtype)


def _rebuilt(
    storage: Tensor | None, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor | None:
    """Return a tensor over a storage; torch refuses sizes that lead out of it."""
    return None if storage is None else torch.as_strided(storage, size, stride, offset)


def _tensors(module: Any, *, prefix: str) -> list[tuple[str, Tensor]]:
    found = []
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            found.append((prefix + name, value))
        elif isinstance(value, _Object):
            found += _tensors(value, prefix=f"{prefix}{name}.")
    return found
