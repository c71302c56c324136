"""How another project names the tensors of a network that vfm has too."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.files import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """What tensors of a network are called in two places.

    Attributes:
        theirs: how names begin there.
        ours: how the same names begin here.
    """

    theirs: str
    ours: str


def same_names(_recipe: Recipe) -> Sequence[Renamed]:
    """Return nothing: the project names tensors as vfm does."""
    return ()


def classifier_names(_recipe: Recipe) -> Sequence[Renamed]:
    """Return how the encoder and the linear layer of a classifier are called where they lie side by side."""
    return (Renamed(theirs="head.", ours="cls_fc."), Renamed(theirs="", ours="backbone."))


def no_constants(_recipe: Recipe) -> State:
    """Return none: the project saves nothing but what is learned."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The names of one project for the states of one method and task.

    Attributes:
        name: of the project, as the command line takes it.
        method: whose states they are.
        task: what was learned downstream; None is pretraining.
        container: under which key its files hold the tensors.
        marks: names that a file of it has, and by which it is told from others.
        renamed: beginnings of names, for a recipe; the first that fits counts, others stay as they are.
        settings: of recipes, what the project trains otherwise than the recipe says.
        constants: what the project saves and does not learn, for a recipe.
    """

    name: str
    method: str
    task: str | None
    container: str
    marks: tuple[str, ...]
    renamed: Callable[[Recipe], Sequence[Renamed]] = same_names
    settings: tuple[str, ...] = ()
    constants: Callable[[Recipe], State] = no_constants

    def marks_in(self, names: Container[str]) -> int:
        """Return how many of the marks there are among the names of a file."""
        return sum(mark in names for mark in self.marks)

    def names(self, ours: Iterable[str], recipe: Recipe) -> dict[str, str]:
        """Return the project's name for each of ours."""
        pairs = [(pair.ours, pair.theirs) for pair in self.renamed(recipe)]
        return {name: _renamed(name, pairs) for name in ours}

    def to_ours(self, theirs: Mapping[str, Tensor], recipe: Recipe) -> State:
        """Return the project's tensors under our names; those that nothing renames stay as they are."""
        pairs = [(pair.theirs, pair.ours) for pair in self.renamed(recipe)]
        return {_renamed(name, pairs): tensor for name, tensor in theirs.items()}

    def to_theirs(self, ours: Mapping[str, Tensor], recipe: Recipe) -> State:
        """Return our tensors, and the constants, under the project's names."""
        names = self.names(ours, recipe)
        return {names[name]: tensor for name, tensor in ours.items()} | self.constants(recipe)


def _renamed(name: str, pairs: Sequence[tuple[str, str]]) -> str:
    for before, after in pairs:
        if name.startswith(before):
            return after + name.removeprefix(before)
    return name
