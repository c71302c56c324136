"""Whether the tensors of a file are those of a recipe's network."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vfm.shards.errors import UsageError
from vfm.shards.wording import listed
from vfm.trainer import methods
from vfm.trainer.recipes.probe import PROBES
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.video_text.model import VideoTextPackage

Shape = tuple[int, ...]
BACKBONE, HEAD = "backbone.", "cls_fc."  # before the names of a classifier or retriever, see `tasks`


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """In what a file and a network differ; nothing where they fit.

    Attributes:
        missing: names of the network that the file has not.
        unused: names of the file that the network has not.
        reshaped: names with both shapes, the file's first.
    """

    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    reshaped: tuple[tuple[str, Shape, Shape], ...] = ()

    @property
    def num_names(self) -> int:
        """How many names differ."""
        return len(self.missing) + len(self.unused) + len(self.reshaped)

    def told(self, *, limit: int | None = None) -> str:
        """Return the names in words, all of them or ``limit`` of each kind."""
        shapes = [f"{name} {found}, not {wanted}" for name, found, wanted in self.reshaped]
        kinds = {"missing": self.missing, "unused": self.unused, "of another shape": shapes}
        told = (
            f"{kind}: {listed(list(names), limit=limit or len(names))}"
            for kind, names in kinds.items()
            if names
        )
        return "; ".join(told)


def compare(
    found: Mapping[str, Tensor], wanted: Mapping[str, Shape], *, spared: Collection[str] = ()
) -> Misfit:
    """Return in what tensors differ from the shapes of a network, by name.

    Args:
        found: of a file.
        wanted: of the network, under the names of the file.
        spared: names that the file may have or not.
    """
    both = sorted(found.keys() & wanted.keys())
    shapes = {name: tuple(found[name].shape) for name in both}
    return Misfit(
        missing=tuple(sorted(wanted.keys() - found.keys())),
        unused=tuple(sorted(found.keys() - wanted.keys() - set(spared))),
        reshaped=tuple((name, shapes[name], wanted[name]) for name in both if shapes[name] != wanted[name]),
    )


def shapes_of(recipe: Recipe, state: Mapping[str, Tensor], *, is_encoder: bool = False) -> dict[str, Shape]:
    """Return the shapes of all tensors that a run of a recipe saves, by name.

    Args:
        recipe: of any task but a probe.
        state: under our names; tells the sizes that come from data, such as the number of classes.
        is_encoder: of its encoder of clips alone, as a classifier names it.

    Raises:
        UsageError: the recipe contradicts itself, is of a probe, or the state lacks what tells a size.
    """
    package = methods.load(recipe.method)
    if recipe.task in PROBES:
        raise UsageError(f"{recipe.name} trains a probe, which has no name in other projects.")
    with Undrawn():
        if recipe.task is None and not is_encoder:
            return _shapes(package.build_network(recipe, state))
        if recipe.task == "retrieve" and not is_encoder:
            both = cast("VideoTextPackage", package).build_video_text_network(recipe, state)
            return _shapes(both, prefix=BACKBONE)
        encoder = package.build_encoder(recipe, state)
    own = _shapes(encoder, prefix=BACKBONE)
    if is_encoder:
        return own
    if (head := state.get(f"{HEAD}weight")) is None:
        raise UsageError(f"The weights have no {HEAD}weight, whose rows are the classes.")
    return {**own, f"{HEAD}weight": (len(head), encoder.dim), f"{HEAD}bias": (len(head),)}


class Undrawn(TorchFunctionMode):
    """Leaves weights as memory comes, which is not even touched: for networks of which shapes are asked.

    Not the device ``meta``, on which a table of positions has torch load its compiler, for seconds.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, unless it draws weights."""
        del types
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _shapes(network: nn.Module, *, prefix: str = "") -> dict[str, Shape]:
    return {f"{prefix}{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}
