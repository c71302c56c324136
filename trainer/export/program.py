"""A model as one program, without its Python: by `torch.export`, and from there as ONNX."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from vfm.shards.errors import UsageError, VfmError
from vfm.shards.io.atomic import publish, temp_path
from vfm.shards.io.faults import disk_faults
from vfm.trainer.export.model import VideoModel

# Of the largest number that the module says: other kernels add up in another order.
_TOLERANCE = 1e-4
_NUM_CLIPS, _NUM_OTHERS = 2, 3  # that a program is made with, and asked about
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class ProgramDiffersError(VfmError):
    """A program does not say what the module says, and was not written."""


def check_onnx() -> None:
    """Refuse to make an ONNX file where this cannot be done.

    Raises:
        UsageError: a package is missing.
    """
    if missing := [name for name in _ONNX_PACKAGES if find_spec(name) is None]:
        raise UsageError(
            f"An ONNX file cannot be made without {', '.join(missing)}: `pip install {' '.join(missing)}`."
        )


def write_program(model: VideoModel, path: Path) -> float:
    """Write what `torch.export.load` reads, once it has said of other clips what the module says of them.

    Args:
        model: in evaluation mode, on the CPU.
        path: of the file.

    Returns:
        The largest difference between the two.

    Raises:
        ProgramDiffersError: it is more than rounding.
        MachineError: the disk is full or does not allow it.
    """
    program = _program_of(model)
    with _appearing(path) as temp:
        with temp.open("wb") as file:
            torch.export.save(program, file)
        with temp.open("rb") as file:
            loaded = torch.export.load(file).module()
        return _checked(model, loaded, path=path)


def write_onnx(model: VideoModel, path: Path) -> float:
    """Write an ONNX file, see `write_program`; onnxruntime is asked what it says.

    Raises:
        UsageError: a package is missing.
        ProgramDiffersError: the file says something else than the module.
        MachineError: the disk is full or does not allow it.
    """
    check_onnx()
    import onnxruntime  # noqa: PLC0415 (few have it)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own insides
        program = torch.onnx.export(_program_of(model), dynamo=True, verbose=False)
    assert program is not None, "the exporter by torch.export returns it"
    with _appearing(path) as temp:
        program.save(temp)
        session = onnxruntime.InferenceSession(temp)
        name = session.get_inputs()[0].name

        def said(clips: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {name: clips.numpy()})[0])

        return _checked(model, said, path=path)


def _program_of(model: VideoModel) -> ExportedProgram:
    clips = model.backbone.example_inputs(_NUM_CLIPS)
    return torch.export.export(model, (clips,), dynamic_shapes=({0: Dim("batch", min=1)},))


@torch.no_grad()
def _checked(model: VideoModel, said: Callable[[Tensor], Tensor], *, path: Path) -> float:
    clips = model.backbone.example_inputs(_NUM_OTHERS)
    wanted = model(clips)
    difference, largest = float((said(clips) - wanted).abs().max()), float(wanted.abs().max())
    if not difference <= _TOLERANCE * largest:
        raise ProgramDiffersError(
            f"{path} would say something else than the model, by up to {difference:.3g} of {largest:.3g}, "
            "and is not written: leave the program out, or use other versions of torch and onnx."
        )
    return difference


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Give the name of a file to write, which gets its own name at the end."""
    temp = temp_path(path)
    try:
        with disk_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temp
            with temp.open("rb") as file:
                publish(file, path)
    finally:
        temp.unlink(missing_ok=True)
