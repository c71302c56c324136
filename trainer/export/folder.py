"""``vfm export``: the encoder of a run as a folder that others load, as the Hugging Face hub expects it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vfm
from vfm.shards.errors import UsageError
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.faults import disk_faults
from vfm.trainer.export.card import card, results_of
from vfm.trainer.export.model import VideoModel, model_from
from vfm.trainer.export.program import check_onnx, write_onnx, write_program
from vfm.trainer.recipes.requirements import requirements_of
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights, from_path
from vfm.trainer.weights.about import KEY, AboutWeights
from vfm.trainer.weights.files import num_parameters, write_weights
from vfm.trainer.weights.imported import VFM
from vfm.trainer.weights.options import FOLDERS, write_options

WEIGHTS = "model.safetensors"
CARD = "README.md"
PROGRAM = "model.pt2"
ONNX = "model.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What to export.

    Attributes:
        averaged: whether a run's average is meant.
        program: whether a program of `torch.export` is written too.
        onnx: whether an ONNX file is written too.
    """

    averaged: bool = False
    program: bool = False
    onnx: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        recipe: that the weights were trained by.
        method: of that recipe.
        task: what was learned downstream; None is pretraining.
        num_parameters: numbers in them.
        num_features: length of a clip's vector.
        num_classes: of the classifier; 0 is an encoder alone.
        files: their names, sorted.
        difference: the largest one between what the programs say and what the module says of the same clips;
            None without a program.
    """

    folder: str
    recipe: str
    method: str
    task: str | None
    num_parameters: int
    num_features: int
    num_classes: int
    files: tuple[str, ...]
    difference: float | None = None


def export(path: Path, out: Path, *, how: Export, options: RunOptions) -> Exported:
    """Write the newest weights of a run, or those of a file, into a new folder that `from_pretrained` opens.

    Args:
        path: of a run, a file, or a folder of weights.
        out: a new folder.
        how: what of it.
        options: who listens.

    Raises:
        UsageError: there are no such weights, they are of a probe, or the folder is not empty.
        MachineError: the disk is full or does not allow it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not written over: choose another name, or remove it.")
    if how.onnx:
        check_onnx()
    start = from_path(path, options=options, averaged=how.averaged)
    model = model_from(start)
    said = _about(model, start=start)
    text = card(model, start, folder=out, results=results_of(start, run=path))
    differences = []
    if how.program:
        differences.append(write_program(model, out / PROGRAM))
    if how.onnx:
        differences.append(write_onnx(model, out / ONNX))
    write_options(out / FOLDERS[WEIGHTS], _config(model, said))
    with disk_faults(out / CARD):
        write_bytes(out / CARD, text.encode())
    state = model.state_dict()
    # Last of all: a folder without it is none.
    write_weights(out / WEIGHTS, state, container="", metadata={"format": "pt"})
    return Exported(
        folder=str(out),
        recipe=model.recipe.name,
        method=model.recipe.method,
        task=model.recipe.task,
        num_parameters=num_parameters(state),
        num_features=model.num_features,
        num_classes=model.num_classes,
        files=tuple(sorted(found.name for found in out.iterdir())),
        difference=max(differences, default=None),
    )


def _about(model: VideoModel, *, start: InitialWeights) -> AboutWeights:
    """Return what the weights of a model say of themselves."""
    return AboutWeights(
        recipe=model.recipe,
        made_from=VFM if start.file is None else start.file.project,
        is_encoder=model.num_classes == 0,
        columns=start.columns,
        classes=model.classes,
    )


def _config(model: VideoModel, said: AboutWeights) -> dict[str, Any]:
    """Return ``config.json``: what `from_pretrained` reads, and beside it what people look for."""
    needed = requirements_of(model.recipe)
    return {
        "model_type": "vfm",
        "vfm_version": vfm.__version__,
        "num_features": model.num_features,
        "num_classes": model.num_classes,
        "num_frames": needed.clip_len,
        "size_px": needed.frame_px,
        "seconds_apart": "whole video" if needed.spans_video else needed.seconds_apart,
        KEY: said.to_dict(),
    }
