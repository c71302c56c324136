"""``vfm convert``: weights of another project under our names, and ours under those of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights, from_run
from vfm.trainer.weights.exported import export_weights, layout_for
from vfm.trainer.weights.files import (
    SAFETENSORS,
    check_name,
    num_parameters,
    read_weights,
    write_weights,
)
from vfm.trainer.weights.imported import VFM, import_weights, metadata_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How weights are read and written.

    Attributes:
        source: the project whose names a file has; None finds out.
        target: the project whose names are written, ``vfm`` for ours.
        recipe: whose network the weights are of; None finds out.
        settings: changes to that recipe.
        averaged: whether a run's average is meant.
    """

    source: str | None = None
    target: str = VFM
    recipe: str | None = None
    settings: Sequence[str] = ()
    averaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What was written.

    Attributes:
        file: where.
        recipe: whose network it is of.
        method: of that recipe.
        task: what was learned downstream; None is pretraining.
        source: the project that it was read from.
        target: the project whose names it has.
        num_tensors: in the file.
        num_parameters: numbers in these, constants among them.
    """

    file: str
    recipe: str
    method: str
    task: str | None
    source: str
    target: str
    num_tensors: int
    num_parameters: int


def convert(path: Path, out: Path, *, how: Conversion, options: RunOptions) -> Converted:
    """Read a file, or the newest checkpoint of a run, and write a new file.

    Args:
        path: a file of weights, or the folder of a run.
        out: ends with .safetensors, or .pth, .pyth or .pt for a pickle as the other project loads it.
        how: which names, which recipe.
        options: who listens.

    Raises:
        UsageError: the weights are not recognised, or do not fit; or the file to write exists.
        MachineError: the disk is full or does not allow it.
    """
    check_name(out)
    found = _read_run(path, how, options) if path.is_dir() else _read_file(path, how, options)
    source = VFM if found.file is None else found.file.project
    recipe, state = found.recipe, found.weights()
    if how.target == VFM:
        if out.suffix != SAFETENSORS:
            raise UsageError(
                f"{out} would be a pickle, and our own weights are kept as {SAFETENSORS}: name it so."
            )
        container, metadata = "", metadata_of(recipe, project=source, columns=found.columns)
    else:
        layout = layout_for(how.target, recipe)
        container, metadata = layout.container, {}
        state = export_weights(state, recipe, layout=layout)
    write_weights(out, state, container=container, metadata=metadata)
    return Converted(
        file=str(out),
        recipe=recipe.name,
        method=recipe.method,
        task=recipe.task,
        source=source,
        target=how.target,
        num_tensors=len(state),
        num_parameters=num_parameters(state),
    )


def _read_file(path: Path, how: Conversion, options: RunOptions) -> InitialWeights:
    if how.averaged:
        raise UsageError(f"{path} is a file with one set of weights: leave out --ema.")
    found = import_weights(read_weights(path), project=how.source, name=how.recipe, settings=how.settings)
    options.say(found.told)
    return InitialWeights(recipe=found.recipe, file=found)


def _read_run(path: Path, how: Conversion, options: RunOptions) -> InitialWeights:
    if how.source not in (None, VFM) or how.recipe is not None or how.settings:
        raise UsageError(f"{path} is a run, which has its recipe: leave out --from, --recipe and --set.")
    return from_run(path, options=options, averaged=how.averaged)
