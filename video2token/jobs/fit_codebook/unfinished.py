"""A codebook that is being fitted: where it stands, in a hidden folder, so that a killed job goes on there.

OUT/.fit/step-000100.safetensors   weights, moments, the quantiser and its generator
OUT/.fit/state.json                written last: what was asked, the step, the hash of that file
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load, save
from torch import Tensor

from vfm.shards.errors import DamageError
from vfm.shards.io.atomic import clean_stale, write_bytes
from vfm.shards.io.hashing import sha256
from vfm.shards.io.sealed import read_sealed, write_sealed

FOLDER, STATE_NAME = ".fit", "state.json"


class Unfinished(NamedTuple):
    """Where a fit stands."""

    asked: dict[str, Any]
    step: int
    tensors: dict[str, Tensor]


def keep(out: Path, *, asked: dict[str, Any], step: int, tensors: Mapping[str, Tensor]) -> None:
    """Write where the fit stands, and remove where it stood; the caller holds the lock of ``out``.

    Raises:
        OSError: the disk is full or refuses; what was kept before is still there.
    """
    folder = out / FOLDER
    folder.mkdir(exist_ok=True)
    clean_stale(folder)
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    name = f"step-{step:06d}.safetensors"
    write_bytes(folder / name, data)
    write_sealed(folder / STATE_NAME, {"asked": asked, "step": step, "file": name, "sha256": sha256(data)})
    for path in folder.glob("step-*"):
        if path.name != name:
            path.unlink()


def find(out: Path) -> Unfinished | None:
    """Return where the fit in ``out`` stands, None when there is none.

    Raises:
        DamageError: what was kept is not as it was written.
    """
    folder = out / FOLDER
    if not (folder / STATE_NAME).exists():
        return None
    state = read_sealed(folder / STATE_NAME)
    path = folder / state["file"]
    if not path.exists() or sha256(data := path.read_bytes()) != state["sha256"]:
        raise DamageError(f"{path} is damaged or gone.")
    return Unfinished(asked=state["asked"], step=state["step"], tensors=load(data))


def forget(out: Path) -> None:
    """Remove what was kept; ``state.json`` first, for it speaks for the rest."""
    (out / FOLDER / STATE_NAME).unlink(missing_ok=True)
    shutil.rmtree(out / FOLDER, ignore_errors=True)
