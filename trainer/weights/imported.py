"""Weights of a file under our names, and the recipe whose network they are of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from vfm.shards.errors import UsageError
from vfm.shards.wording import counted, listed
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import compared, override
from vfm.trainer.recipes.values import written
from vfm.trainer.registry import load_recipe, recipe_names
from vfm.trainer.weights import layouts
from vfm.trainer.weights.about import AboutWeights, about, check_classes
from vfm.trainer.weights.files import State, WeightsFile
from vfm.trainer.weights.fit import Misfit, compare, shapes_of
from vfm.trainer.weights.layout import Layout, kind_of

VFM = "vfm"
_NUM_TOLD = 3  # names of each kind that do not fit, of a recipe that nobody asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedWeights:
    """What a file holds, as a run of ours would have saved it.

    Attributes:
        path: of the file.
        project: whose names it has; ``vfm`` for our own.
        recipe: whose network it is.
        state: float32, by our names.
        left_out: names of the file that nothing here has, because they are not learned.
        also: other recipes of the same network.
        is_encoder: whether it is the encoder of clips alone, of pretraining or of a retriever.
        columns: what a run of ours was trained on, with the options of each column; empty where unknown.
        classes: their names, in the order of the head; empty where they are unknown, or there is no head.
    """

    path: Path
    project: str
    recipe: Recipe
    state: State
    left_out: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    is_encoder: bool = False
    columns: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The sentence about what was recognised."""
        kind = f"{'an encoder of ' if self.is_encoder else ''}{kind_of(self.recipe.task)}"
        also = f" (and of {listed(self.also, limit=4)})" if self.also else ""
        spared = f"; left out, because not learned: {_grouped(self.left_out)}" if self.left_out else ""
        return (
            f"{self.path} is {kind} of method {self.recipe.method} as {self.project} saves it, with the "
            f"network of recipe {self.recipe.name}{also}{self._changed}{spared}."
        )

    @property
    def _changed(self) -> str:
        """What differs from the recipe of that name, as settings of it."""
        changed = compared(load_recipe(self.recipe.name), self.recipe) if self.project != VFM else {}
        settings = [f"{key}={written(value)}" for key, (_, value) in changed.items()]
        return f" with {listed(settings, limit=_NUM_TOLD)}" if settings else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A way to read a file: under names of ``layout``, as the network of ``recipe``."""

    layout: Layout
    recipe: Recipe
    left_out: Collection[str]
    misfit: Misfit

    @property
    def num_changed(self) -> int:
        """How many numbers of the recipe are not those of its name."""
        return len(compared(load_recipe(self.recipe.name), self.recipe))


def import_weights(
    file: WeightsFile, *, project: str | None = None, name: str | None = None, settings: Sequence[str] = ()
) -> ImportedWeights:
    """Return the weights of a file under our names.

    Args:
        file: what was read.
        project: whose names it has; None finds out.
        name: of its recipe; None takes the first whose network has these tensors.
        settings: changes to the recipe, as `vfm.trainer.recipes.settings.override` takes them.

    Raises:
        UsageError: the file has no known layout, or there is no recipe of its network; all names that do
            not fit are told where the recipe was named.
    """
    if project in (None, VFM) and (said := about(file)) is not None:
        if name is not None or settings:
            raise UsageError(f"{file.path} says of which recipe it is: leave out --recipe and --set.")
        return _our_own(file, said)
    complete = _layouts_of(file, project=project)
    readings = _readings(
        file,
        [
            (layout, recipe)
            for layout in complete
            for recipe in _candidates(file, layout, name=name, settings=settings)
        ],
    )
    if not readings:
        raise _other_recipe(file, complete, name=name)
    exact = [reading for reading in readings if not reading.misfit.num_names]
    if not exact:
        raise _no_network(file, readings, is_named=name is not None)
    found, *others = sorted(exact, key=lambda reading: reading.num_changed)
    kept = {name: tensor for name, tensor in file.tensors.items() if name not in found.left_out}
    state = {name: t.float() for name, t in found.layout.to_ours(kept, found.recipe).items()}
    _check_tied(file, found.layout, state)
    classes = tuple(found.layout.classes(file.options))
    check_classes(classes, state, path=file.path)
    return ImportedWeights(
        path=file.path,
        project=found.layout.name,
        recipe=found.recipe,
        state=state,
        left_out=tuple(sorted(found.left_out)),
        classes=classes,
        also=tuple(other.recipe.name for other in others if other.num_changed == found.num_changed),
    )


def _grouped(names: Sequence[str]) -> str:
    """Return names in words, many of one part of a network as the part."""
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(name.partition(".")[0], []).append(name)
    many = {part: f"{part}.* ({counted(len(inner), 'tensor')})" for part, inner in parts.items()}
    told = ([many[part]] if len(inner) > _NUM_TOLD else inner for part, inner in parts.items())
    return ", ".join(chain.from_iterable(told))


def _check_tied(file: WeightsFile, layout: Layout, state: State) -> None:
    """Refuse a file in which a tensor's second name stands for other numbers."""
    for tied in layout.tied:
        if not torch.equal(file.tensors[tied.theirs].float(), state[tied.ours]):
            raise UsageError(
                f"{file.path} is of another model: {tied.theirs} is not equal to {tied.ours}, and is one "
                "tensor with it here: fetch the file again."
            )


def _our_own(file: WeightsFile, said: AboutWeights) -> ImportedWeights:
    misfit = compare(file.tensors, shapes_of(said.recipe, file.tensors, is_encoder=said.is_encoder))
    if misfit.num_names:
        raise UsageError(
            f"{file.path} does not fit its own recipe {said.recipe.name} ({misfit.told(limit=_NUM_TOLD)}): "
            "export or convert the weights again."
        )
    check_classes(said.classes, file.tensors, path=file.path)
    return ImportedWeights(
        path=file.path,
        project=VFM,
        recipe=said.recipe,
        state=file.tensors,
        is_encoder=said.is_encoder,
        columns=said.columns,
        classes=said.classes,
    )


def _layouts_of(file: WeightsFile, *, project: str | None) -> list[Layout]:
    """Return the layouts that a file may have; shapes tell which it is.

    All of their marks are there, and no other such layout has the same marks and more.
    """
    known = layouts.load_all()
    asked = [layout for layout in known if project in (None, layout.name)]
    if not asked:
        names = ", ".join(sorted({layout.name for layout in known}))
        raise UsageError(f"{file.path} is not a file of {project} that `vfm convert` wrote: choose {names}.")
    if complete := [layout for layout in asked if layout.marks_in(file.tensors) == len(layout.marks)]:
        _refuse_foreign(file, complete)
        return [one for one in complete if not any(set(one.marks) < set(more.marks) for more in complete)]
    nearest = max(asked, key=lambda layout: layout.marks_in(file.tensors) / len(layout.marks))
    missing = [mark for mark in nearest.marks if mark not in file.tensors]
    raise UsageError(
        f"{file.path} has no layout that is known; the nearest is {nearest.name}, {kind_of(nearest.task)} of "
        f"method {nearest.method}, of which it lacks {listed(missing, limit=_NUM_TOLD)}: give a file of one "
        f"of {', '.join(sorted({layout.name for layout in known}))}."
    )


def _refuse_foreign(file: WeightsFile, complete: Sequence[Layout]) -> None:
    for start, what in ((*each,) for layout in complete for each in layout.foreign.items()):
        if any(name.startswith(start) for name in file.tensors):
            raise UsageError(
                f"{file.path} holds {what} ({start}*), which no network here has: give a file of "
                "pretraining or of retrieval."
            )


def _candidates(
    file: WeightsFile, layout: Layout, *, name: str | None, settings: Sequence[str]
) -> list[Recipe]:
    """Return the recipes that a file may be of, with what the project trains otherwise and the file says."""
    loaded = [load_recipe(each) for each in ([name] if name is not None else recipe_names())]
    fitting = [r for r in loaded if (r.method, r.task) == (layout.method, layout.task)]
    told = tuple(layout.sizes(file.options))
    try:
        return [override(recipe, (*layout.settings, *told, *settings)) for recipe in fitting]
    except UsageError as error:
        if settings or not told:
            raise
        raise UsageError(f"{file.path} comes with options that no network here has: {error}") from None


def _readings(file: WeightsFile, ways: Sequence[tuple[Layout, Recipe]]) -> list[_Reading]:
    """Return how a file is read in the ways that its tensors allow, or raise why they allow none."""
    outlined = {name: torch.empty_like(tensor, device="meta") for name, tensor in file.tensors.items()}
    readings: list[_Reading] = []
    errors: list[UsageError] = []
    # Many recipes have one network, and building it takes most of the time.
    known: dict[Any, _Reading] = {}
    for layout, recipe in ways:
        network = (layout.name, layout.marks, recipe.method, recipe.task, recipe.model, recipe.data)
        try:
            if network not in known:
                known[network] = _read(outlined, layout, recipe)
            readings.append(replace(known[network], recipe=recipe))
        except UsageError as error:
            errors.append(error)
    if errors and not readings:
        raise UsageError(f"{file.path} fits no network: {errors[0]}")
    return readings


def _read(outlined: State, layout: Layout, recipe: Recipe) -> _Reading:
    """Return how a file is read; of its tensors the shapes are enough."""
    wanted = shapes_of(recipe, layout.to_ours(outlined, recipe))
    ours = {name: torch.empty(shape, device="meta") for name, shape in wanted.items()}
    theirs = layout.to_theirs(ours, recipe)
    spared = {*layout.constants(recipe), *(name for name in outlined if name.startswith(layout.spared))}
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.items() if name not in spared}
    return _Reading(
        layout=layout,
        recipe=recipe,
        left_out=outlined.keys() & spared,
        misfit=compare(outlined, shapes, spared=spared),
    )


def _other_recipe(file: WeightsFile, complete: Sequence[Layout], *, name: str | None) -> UsageError:
    kinds = [f"{kind_of(layout.task)} by {layout.method}" for layout in complete]
    return UsageError(
        f"{file.path} holds {' or '.join(kinds)}, and {name} is no recipe of that: name another."
    )


def _no_network(file: WeightsFile, readings: Sequence[_Reading], *, is_named: bool) -> UsageError:
    nearest = min(readings, key=lambda reading: reading.misfit.num_names)
    name, misfit = nearest.recipe.name, nearest.misfit
    if is_named:
        return UsageError(
            f"{file.path} is not of the network of recipe {name} ({misfit.told()}): name another recipe, or "
            "its sizes with --set."
        )
    return UsageError(
        f"{file.path} has the layout of {nearest.layout.name}, but is of no recipe's network; the nearest is "
        f"{name} ({misfit.told(limit=_NUM_TOLD)}): name a recipe with --recipe, and sizes with --set."
    )
