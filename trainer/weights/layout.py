"""How another project names the tensors of a network that vfm has too."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """What tensors of a network are called in two places.

    Attributes:
        theirs: how names begin there.
        ours: how the same names begin here.
    """

    theirs: str
    ours: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The names of one project for the states of one method and task.

    Attributes:
        name: of the project, as the command line takes it.
        method: whose states they are.
        task: what was learned downstream; None is pretraining.
        container: under which key its files hold the tensors.
        renamed: beginnings of names; the first that fits counts, and ``{stages}`` is how many blocks pool.
        constants: beginnings of names that are not learned, which nothing here has.
    """

    name: str
    method: str
    task: str | None
    container: str
    renamed: tuple[Renamed, ...]
    constants: tuple[str, ...] = ()

    def to_ours(self, state: Mapping[str, Tensor], *, stages: int = 0) -> State:
        """Return the tensors under the names of vfm, constants left out.

        Args:
            state: under theirs; a name that no beginning fits is kept, and fits no network here.
            stages: how many blocks pool.
        """
        pairs = [(pair.theirs.format(stages=stages), pair.ours) for pair in self.renamed]
        kept = {name: t for name, t in state.items() if not name.startswith(self.constants or ("\0",))}
        return {_renamed(name, pairs): tensor for name, tensor in kept.items()}

    def from_ours(self, state: Mapping[str, Tensor], *, stages: int = 0) -> State:
        """Return the tensors under the names of the project; see `to_ours`."""
        pairs = [(pair.ours, pair.theirs.format(stages=stages)) for pair in self.renamed]
        return {_renamed(name, pairs): tensor for name, tensor in state.items()}


def _renamed(name: str, pairs: list[tuple[str, str]]) -> str:
    for before, after in pairs:
        if name.startswith(before):
            return after + name.removeprefix(before)
    return name
