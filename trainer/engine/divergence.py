"""What stops a run before it spoils a weight."""

import math
from collections.abc import Sequence
from typing import ClassVar

from vfm.shards.errors import VfmError
from vfm.shards.reading.dataset import Dataset
from vfm.shards.wording import listed
from vfm.trainer.distributed import World, gather

_MAX_NAMED_KEYS = 8


class DivergenceError(VfmError):
    """A loss or a gradient is not finite: the run stopped before it could spoil a weight (exit 3)."""

    exit_code: ClassVar[int] = 3


def divergence(
    losses: Sequence[float], *, parts: Sequence[Sequence[int]], step: int, dataset: Dataset, world: World
) -> DivergenceError:
    """Return the error that names the step and the samples, of all ranks, that it came from.

    Args:
        losses: of this rank's micro-batches; finite where only the gradient is not.
        parts: the samples of each.
        step: the update.
        dataset: whose samples they are.
        world: every rank must call this.
    """
    bad = [part for loss, part in zip(losses, parts, strict=True) if not math.isfinite(loss)]
    mine = [dataset.keys[i] for part in bad for i in part]
    everyone = gather((mine, [dataset.keys[i] for part in parts for i in part]), world=world)
    keys = [key for named, _ in everyone for key in named]
    what = "loss" if keys else "gradient"
    # With finite losses any sample of the update may have caused it.
    keys = keys or [key for _, read in everyone for key in read]
    return DivergenceError(
        f"The {what} of step {step} is not finite, with samples "
        f"{listed(keys, limit=_MAX_NAMED_KEYS)}: no weight was updated; look at them with `vfm inspect`, "
        "or lower optim.lr and train into another --out."
    )
