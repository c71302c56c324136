"""Whether the classes that a head tells apart are those of a dataset."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import Dataset
from vfm.shards.wording import listed
from vfm.trainer.runs.initial_weights import InitialWeights

_NUM_TOLD = 10  # classes of each side that a sentence names


def check_same_classes(start: InitialWeights, dataset: Dataset, *, named: Path, use: str) -> None:
    """Refuse a head whose classes are unknown, or are not those of a dataset in the same order.

    Args:
        start: weights with a head.
        dataset: whose classes they shall be.
        named: what the user calls the weights.
        use: what the user wants to do with them, as in ``evaluate it``.

    Raises:
        UsageError: they are not.
    """
    taught, wanted = start.classes, dataset.classes
    if not taught:
        raise UsageError(
            f"{named} has a head of {start.num_classes} classes and does not say which they are: "
            f"`vfm convert {named} OUT --classes NAMES.txt` adds their names, one a line in the order of the "
            "head."
        )
    if taught == wanted:
        return
    if sorted(taught) == sorted(wanted):
        raise UsageError(
            f"{named} has the classes of {dataset.data} in another order, {_first_other(taught, wanted)}: "
            f"{use} on a dataset with its order."
        )
    many = max(len(taught), len(wanted)) > _NUM_TOLD
    where = f"; {_first_other(taught, wanted)}" if many else ""
    raise UsageError(
        f"{named} tells {listed(taught, limit=_NUM_TOLD)} apart and {dataset.data} has the classes "
        f"{listed(wanted, limit=_NUM_TOLD)}{where}: {use} on a dataset with its classes."
    )


def _first_other(taught: Sequence[str], wanted: Sequence[str]) -> str:
    """Return the first class that differs, in words."""
    pairs = enumerate(zip_longest(taught, wanted, fillvalue="none"))
    place, there, here = next((place, *pair) for place, pair in pairs if pair[0] != pair[1])
    return f"class {place} is {there} there and {here} here"
