"""How another project names the tensors of a network that vfm has too."""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import flatten
from vfm.trainer.recipes.values import written
from vfm.trainer.weights.files import State
from vfm.trainer.weights.options import Options

_NUMBER = r"(\d+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """What tensors of a network are called in two places.

    Attributes:
        theirs: how names begin there; ``{}`` is the number of a block.
        ours: how the same names begin here, with as many ``{}``.
    """

    theirs: str
    ours: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """A tensor of ours that a project keeps in parts, equally large and one after the other along dim 0.

    Attributes:
        ours: how its name ends.
        theirs: how the names of the parts end, in their order.
    """

    ours: str
    theirs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tied:
    """A tensor of ours that a project saves under a second name, too.

    Attributes:
        ours: its name.
        theirs: the second name.
    """

    ours: str
    theirs: str


def same_names(_recipe: Recipe) -> Sequence[Renamed]:
    """Return nothing: the project names tensors as vfm does."""
    return ()


def classifier_names(_recipe: Recipe) -> Sequence[Renamed]:
    """Return how the encoder and the linear layer of a classifier are called where they lie side by side."""
    return (Renamed(theirs="head.", ours="cls_fc."), Renamed(theirs="", ours="backbone."))


def no_sizes(_options: Options) -> Sequence[str]:
    """Return none: the project says nothing that shapes do not."""
    return ()


def sizes_from(options: Options, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return settings of a recipe from the options that there are; ``names`` are theirs by our keys."""
    return tuple(f"{key}={written(options[name])}" for key, name in names.items() if name in options)


def sizes_of(recipe: Recipe, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the numbers of a recipe under the names of a project; see `sizes_from`."""
    flat = flatten(recipe)
    return {theirs: flat[ours] for ours, theirs in names.items()}


def no_options(_recipe: Recipe, _state: State, _classes: Sequence[str]) -> Options:
    """Return none: the project keeps none beside its weights."""
    return {}


def no_classes(_options: Options) -> Sequence[str]:
    """Return none: the project does not say what its classes are called."""
    return ()


def no_constants(_recipe: Recipe) -> State:
    """Return none: the project saves nothing but what is learned."""
    return {}


def kind_of(task: str | None) -> str:
    """Return what was trained by a recipe of a task, in words; None is pretraining."""
    known = {None: "pretraining", "classify": "a classifier", "retrieve": "a retriever"}
    return known.get(task) or f"a {task} probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The names of one project for the states of one method and task.

    Attributes:
        name: of the project, as the command line takes it.
        method: whose states they are.
        task: what was learned downstream; None is pretraining.
        container: under which key its files hold the tensors; empty where they are all that a file holds.
        marks: names that a file of it has, and by which it is told from others.
        renamed: beginnings of names, for a recipe; the first that fits counts, others stay as they are.
        parted: tensors of ours that are several there.
        tied: tensors of ours that are there twice.
        settings: of recipes, what the project trains otherwise than the recipe says.
        constants: what the project saves and does not learn, for a recipe.
        spared: how the names begin of what some of its files hold and nobody learns, which is not written.
        foreign: what some of its files hold that no network of ours has, by how the names begin.
        sizes: settings of a recipe that the options of a file tell.
        classes: their names, in the order of the head, that the options of a file tell.
        folder: where the project keeps weights in a folder, what they are called there, see
            `vfm.trainer.weights.options.FOLDERS`; None where it keeps them in a file.
        options: what such a folder says of the network of a recipe, its state by our names, and its classes
            where these are known.
    """

    name: str
    method: str
    task: str | None
    container: str
    marks: tuple[str, ...]
    renamed: Callable[[Recipe], Sequence[Renamed]] = same_names
    parted: tuple[Parted, ...] = ()
    tied: tuple[Tied, ...] = ()
    settings: tuple[str, ...] = ()
    constants: Callable[[Recipe], State] = no_constants
    spared: tuple[str, ...] = ()
    foreign: Mapping[str, str] = field(default_factory=dict)
    sizes: Callable[[Options], Sequence[str]] = no_sizes
    classes: Callable[[Options], Sequence[str]] = no_classes
    folder: str | None = None
    options: Callable[[Recipe, State, Sequence[str]], Options] = no_options

    @property
    def keeps_classes(self) -> bool:
        """Whether the project says what its classes are called."""
        return self.classes is not no_classes

    def marks_in(self, names: Container[str]) -> int:
        """Return how many of the marks there are among the names of a file."""
        return sum(mark in names for mark in self.marks)

    def to_ours(self, theirs: Mapping[str, Tensor], recipe: Recipe) -> State:
        """Return the project's tensors under our names, without second ones; others stay as they are."""
        seconds = {tied.theirs for tied in self.tied}
        theirs = {name: tensor for name, tensor in theirs.items() if name not in seconds}
        names = _renamed(theirs, [(pair.theirs, pair.ours) for pair in self.renamed(recipe)])
        found = {names[name]: tensor for name, tensor in theirs.items()}
        for parted in self.parted:
            found = _joined(found, parted)
        return found

    def to_theirs(self, ours: Mapping[str, Tensor], recipe: Recipe) -> State:
        """Return our tensors, and the constants, under the project's names."""
        seconds = {tied.theirs: ours[tied.ours] for tied in self.tied}
        found = dict(ours)
        for parted in self.parted:
            found = _taken_apart(found, parted)
        names = _renamed(found, [(pair.ours, pair.theirs) for pair in self.renamed(recipe)])
        return {names[name]: tensor for name, tensor in found.items()} | seconds | self.constants(recipe)


def _renamed(names: Iterable[str], pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return what each name becomes."""
    patterns = [(re.compile(_NUMBER.join(map(re.escape, old.split("{}")))), new) for old, new in pairs]
    found: dict[str, str] = {}
    for name in names:
        matches = ((pattern.match(name), new) for pattern, new in patterns)
        match, new = next(((match, new) for match, new in matches if match), (None, ""))
        found[name] = name if match is None else new.format(*match.groups()) + name[match.end() :]
    return found


def _joined(state: State, parted: Parted) -> State:
    """Return a state with the parts put together; parts that do not fit together are left as they are."""
    found = dict(state)
    first = parted.theirs[0]
    for stem in [name.removesuffix(first) for name in state if name.endswith(first)]:
        parts = [state.get(f"{stem}{end}") for end in parted.theirs]
        if parts[0] is not None and all(part is not None and part.shape == parts[0].shape for part in parts):
            for end in parted.theirs:
                del found[f"{stem}{end}"]
            found[f"{stem}{parted.ours}"] = torch.cat([part for part in parts if part is not None])
    return found


def _taken_apart(state: State, parted: Parted) -> State:
    found: State = {}
    for name, tensor in state.items():
        if not name.endswith(parted.ours):
            found[name] = tensor
            continue
        stem = name.removesuffix(parted.ours)
        parts = tensor.chunk(len(parted.theirs))
        found |= {f"{stem}{end}": part for end, part in zip(parted.theirs, parts, strict=True)}
    return found
