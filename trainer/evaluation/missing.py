"""Videos of a split that nobody can be asked about, as they gave no sample."""

from collections.abc import Callable

from vfm.shards.format.layout import PLAN_NAME
from vfm.shards.format.plan import PlanMissingError, read_plan
from vfm.shards.reading.dataset import Dataset
from vfm.shards.splits import ALL, canonical_split


def num_missing(every: Dataset, *, split: str, say: Callable[[str], None]) -> int | None:
    """Return how many sources of a split gave no sample, aloud where there are any."""
    try:
        sources = read_plan(every.data / PLAN_NAME).sources
    except PlanMissingError:
        return None
    wanted = {source.key for source in sources if split in (ALL, canonical_split(source.split or ""))}
    num_missing = len(wanted.difference(every.keys))
    if num_missing:
        say(
            f"{num_missing} of the {len(wanted)} videos{of_split(split)} gave no sample in {every.data}: "
            "what is counted is the rest."
        )
    return num_missing


def of_split(split: str) -> str:
    """Return `` of split NAME``; nothing where it is every sample."""
    return "" if split == ALL else f" of split {split}"
