"""The samples of a dataset that have captions, and what is odd about these, said before they are used."""

from collections.abc import Callable

import numpy as np

from vfm.shards.array_types import Int64
from vfm.shards.errors import UsageError
from vfm.shards.io.npy import num_items
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.recipes.columns import TEXT, column_of_kind
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.video_text.captions import IDS, NUM_IDS

_IDS, _NUM_IDS = f"{IDS}.npy", f"{NUM_IDS}.npy"


def captioned(dataset: Dataset, recipe: Recipe) -> Dataset:
    """Return the samples that have a caption."""
    return dataset.select(np.flatnonzero(num_captions(dataset, column_of_kind(recipe, TEXT)) > 0))


def with_captions(dataset: Dataset, recipe: Recipe, *, say: Callable[[str], None]) -> Dataset:
    """Return the samples that have a caption; what is left out, cut or there twice is counted aloud.

    Args:
        dataset: opened with the column of ids.
        recipe: tells the column, how long a caption may be, and whether those of a sample are joined.
        say: takes a sentence.

    Raises:
        UsageError: no sample has a caption.
    """
    column, num_samples = column_of_kind(recipe, TEXT), len(dataset)
    dataset = captioned(dataset, recipe)
    if not len(dataset):
        raise UsageError(
            f"No sample of {dataset} has a caption here: extract from a list in which some have one, and "
            "make the column anew."
        )
    if len(dataset) < num_samples:
        say(f"{num_samples - len(dataset)} of {num_samples} samples have no caption and are left out.")
    goal = recipe.objective
    what = "joined captions" if goal.captions == "joined" else "captions"
    num_cut, num_texts = count_cut(dataset, column, max_ids=goal.max_ids, is_joined=goal.captions == "joined")
    if num_cut:
        say(
            f"{num_cut} of {num_texts} {what} have more than {goal.max_ids} ids and are cut: "
            "objective.max_ids is the limit."
        )
    if num_repeated := count_repeated(dataset, column):
        say(
            f"{num_repeated} of {len(dataset)} samples have the captions of another: such pairs are never "
            "held against each other."
        )
    return dataset


def num_captions(dataset: Dataset, column: str) -> Int64:
    """Return how many captions each sample has, int64 [N], without reading any."""
    sizes_bytes, _ = dataset.stored(column, _NUM_IDS)
    return num_items(sizes_bytes, itemsize=np.dtype(np.uint16).itemsize)


def count_cut(dataset: Dataset, column: str, *, max_ids: int, is_joined: bool) -> tuple[int, int]:
    """Return how many captions are longer than a limit, and how many there are; joined ones count as one.

    Only samples whose captions take more room than the limit are read.
    """
    counts = num_captions(dataset, column)
    sizes_bytes, _ = dataset.stored(column, _IDS)
    itemsize = np.dtype(dataset.manifest.columns[column].options["dtype"]).itemsize
    places = num_items(sizes_bytes, itemsize=itemsize)
    suspects = np.flatnonzero((places if is_joined else places // counts) > max_ids)
    num_cut = 0
    for index in suspects.tolist():
        lengths = dataset.array(index, column, NUM_IDS).astype(np.int64)
        # Joined captions keep two marks in all.
        lengths = np.array([lengths.sum() - 2 * (len(lengths) - 1)]) if is_joined else lengths
        num_cut += int((lengths > max_ids).sum())
    return num_cut, len(dataset) if is_joined else int(counts.sum())


def count_repeated(dataset: Dataset, column: str) -> int:
    """Return how many samples have the very captions of another, by the checksums of their ids."""
    stamps = [array for field in (_IDS, _NUM_IDS) for array in dataset.stored(column, field)]
    _, counts = np.unique(np.stack(stamps, axis=1), axis=0, return_counts=True)
    return int(counts[counts > 1].sum())
