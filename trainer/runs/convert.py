"""``vfm convert``: weights of another project under our names, and ours under those of another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.wording import counted
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import InitialWeights, from_run
from vfm.trainer.weights import layouts
from vfm.trainer.weights.about import AboutWeights
from vfm.trainer.weights.exported import export_weights, layout_for
from vfm.trainer.weights.files import (
    PICKLES,
    SAFETENSORS,
    State,
    check_name,
    num_parameters,
    read_weights,
    weights_in,
    write_weights,
)
from vfm.trainer.weights.fit import HEAD
from vfm.trainer.weights.imported import VFM, import_weights
from vfm.trainer.weights.options import FOLDERS, write_options


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How weights are read and written.

    Attributes:
        source: the project whose names a file has; None finds out.
        target: the project whose names are written, ``vfm`` for ours.
        recipe: whose network the weights are of; None finds out.
        settings: changes to that recipe.
        averaged: whether a run's average is meant.
        num_classes: how many of a classifier's classes are kept, its first; None keeps all.
        classes: names of those that are kept, in the order of the head; empty keeps the names that are known.
    """

    source: str | None = None
    target: str = VFM
    recipe: str | None = None
    settings: Sequence[str] = ()
    averaged: bool = False
    num_classes: int | None = None
    classes: Sequence[str] = ()


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
        is_encoder: whether it is the encoder of clips alone.
    """

    file: str
    recipe: str
    method: str
    task: str | None
    source: str
    target: str
    num_tensors: int
    num_parameters: int
    is_encoder: bool


def convert(path: Path, out: Path, *, how: Conversion, options: RunOptions) -> Converted:
    """Read a file, or the newest checkpoint of a run, and write a new file.

    Args:
        path: a file of weights, a folder with one, or the folder of a run.
        out: ends with .safetensors, or with .pth, .pyth, .pt or .bin for a pickle as the other project loads
            it; for a project that keeps its weights in folders, a new folder.
        how: which names, which recipe.
        options: who listens.

    Raises:
        UsageError: the weights are not recognised, or do not fit; or the file to write exists.
        MachineError: the disk is full or does not allow it.
    """
    weights_path = _place(out, target=how.target)
    found = _read(path, how, options)
    source = VFM if found.file is None else found.file.project
    recipe = found.recipe
    state, classes = _first(how.num_classes, found)
    classes = _named(how, state, classes, path=found.path)
    if how.target == VFM:
        said = AboutWeights(
            recipe=recipe,
            made_from=source,
            is_encoder=found.is_encoder,
            columns=found.columns,
            classes=classes,
        )
        write_weights(weights_path, state, container="", metadata=said.to_metadata())
    else:
        state = _write_theirs(
            weights_path, found=found, state=state, classes=classes, how=how, say=options.say
        )
    return Converted(
        file=str(out),
        recipe=recipe.name,
        method=recipe.method,
        task=recipe.task,
        source=source,
        target=how.target,
        num_tensors=len(state),
        num_parameters=num_parameters(state),
        is_encoder=found.is_encoder,
    )


def _write_theirs(  # noqa: PLR0913 (keyword-only)
    path: Path,
    *,
    found: InitialWeights,
    state: State,
    classes: Sequence[str],
    how: Conversion,
    say: Callable[[str], None],
) -> State:
    """Write weights under the names of a project, and return what was written."""
    if found.is_encoder:
        raise UsageError(
            f"{found.path} is an encoder alone, and {how.target} has no names for that: convert the run "
            "that it was exported from."
        )
    layout = layout_for(how.target, found.recipe)
    if how.classes and not layout.keeps_classes:
        raise UsageError(f"{how.target} keeps no names of classes: leave out --classes.")
    theirs = export_weights(state, found.recipe, layout=layout)
    if layout.folder is not None:
        beside = path.with_name(FOLDERS[layout.folder])
        write_options(beside, layout.options(found.recipe, state, classes))
    if layout.spared:
        spared = ", ".join(f"{name}*" if name.endswith(".") else name for name in layout.spared)
        say(f"Files of {how.target} may hold {spared} too, which nobody learns and is not written.")
    write_weights(path, theirs, container=layout.container, metadata={"format": "pt"})
    return theirs


def _place(out: Path, *, target: str) -> Path:
    """Return the file to write, which is in a folder where the project keeps its weights so."""
    folder = next((layout.folder for layout in layouts.load_all() if layout.name == target), None)
    if folder is None:
        check_name(out)
        if target == VFM and out.suffix != SAFETENSORS:
            raise UsageError(
                f"{out} would be a pickle, and our own weights are kept as {SAFETENSORS}: name it so."
            )
        return out
    if out.suffix in (SAFETENSORS, *PICKLES):
        raise UsageError(
            f"{out} would be a file, and {target} keeps weights in a folder with {FOLDERS[folder]}: name a "
            "new folder."
        )
    if out.exists():
        raise UsageError(f"{out} exists and is not written over: choose another name, or remove it.")
    return out / folder


def _first(num_classes: int | None, found: InitialWeights) -> tuple[State, tuple[str, ...]]:
    """Return the weights and the names of the classes, of the first classes alone where so many are asked."""
    state, classes = found.weights(), found.classes
    if num_classes is None:
        return state, classes
    known = len(state.get(f"{HEAD}weight", ()))
    if known < num_classes:
        raise UsageError(
            f"{found.path} has a head of {known} classes, of which the first {num_classes} cannot be kept: "
            "leave out --first-classes, or give fewer."
        )
    head = {f"{HEAD}{name}": state[f"{HEAD}{name}"][:num_classes] for name in ("weight", "bias")}
    return state | head, classes[:num_classes]


def _named(how: Conversion, state: State, known: tuple[str, ...], *, path: Path | None) -> tuple[str, ...]:
    """Return the names of the classes: those that are given, where nothing contradicts them."""
    given = tuple(how.classes)
    if not given:
        return known
    rows = len(state.get(f"{HEAD}weight", ()))
    if rows == 0:
        raise UsageError(f"{path} has no head whose classes could be named: leave out --classes.")
    if len(given) != rows:
        fewer = f", or keep that many with --first-classes {len(given)}" if len(given) < rows else ""
        raise UsageError(
            f"--classes has {counted(len(given), 'name')} for a head of {rows} classes in {path}: give one "
            f"for each{fewer}."
        )
    if known and given != known:
        place = next(i for i, name in enumerate(given) if name != known[i])
        raise UsageError(
            f"{path} says itself what its classes are, class {place} is {known[place]} there and "
            f"{given[place]} in --classes: leave out --classes."
        )
    return given


def _read(path: Path, how: Conversion, options: RunOptions) -> InitialWeights:
    is_run = path.is_dir() and weights_in(path) is None
    return _read_run(path, how, options) if is_run else _read_file(path, how, options)


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
