"""How many parameters the network of a recipe has, and how much one clip's pass through it computes."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from vfm.trainer import methods
from vfm.trainer.recipes.columns import learns_classes
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.weights.fit import Undrawn


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """What was counted.

    Attributes:
        num_parameters: trained numbers; of a task that learns classes without those of its last layer.
        num_flops: of one clip's forward pass, where one multiply-add is 2: products of matrices, convolutions
            and attention, not norms and activations.
        clip: what the clip is, in words.
        notes: what else is counted, or taken for granted, each a clause.
    """

    num_parameters: int
    num_flops: int
    clip: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Return the sentence for it."""
        notes = ", ".join(("one multiply-add is 2 FLOPs", *self.notes))
        parameters = _short(self.num_parameters, {"G": 1e9, "M": 1e6})
        flops = _short(self.num_flops, {"T": 1e12, "G": 1e9})
        return (
            f"It has {parameters} parameters and computes {flops}FLOPs forward for one clip of {self.clip} "
            f"({notes})."
        )


def size_of(recipe: Recipe) -> NetworkSize:
    """Return the size of a recipe's network, without drawing weights or computing anything.

    Raises:
        UsageError: the recipe contradicts itself.
    """
    with Undrawn():
        passed = methods.load(recipe.method).forward_pass(recipe)
    network = passed.network.to("meta").eval()
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        passed.run()
    headless = "without the layer behind the encoder, whose classes data decide"
    return NetworkSize(
        num_parameters=sum(parameter.numel() for parameter in network.parameters()),
        num_flops=counter.get_total_flops(),
        clip=passed.clip,
        notes=(*passed.notes, *([headless] if learns_classes(recipe) else [])),
    )


def _short(number: float, units: dict[str, float]) -> str:
    """Return three digits of a number and its unit, the first of those that it reaches, or the last."""
    unit = next((unit for unit, value in units.items() if number >= value), [*units][-1])
    return f"{f'{number / units[unit]:#.3g}'.rstrip('.')} {unit}"
