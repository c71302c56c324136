"""Labelled samples of a dataset: those that finetuning learns from and evaluation counts."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from vfm.shards.errors import UsageError
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import canonical_json
from vfm.shards.reading.dataset import Dataset


def with_labels(dataset: Dataset, *, say: Callable[[str], None]) -> Dataset:
    """Return the samples whose class is known; those left out are counted aloud.

    Raises:
        UsageError: no sample has a label.
    """
    known = np.flatnonzero(dataset.class_indices >= 0)
    if not len(known):
        raise UsageError(
            f"{dataset} has no labels here: name them in a CSV list with the columns path and label, "
            "and extract that list into a new dataset."
        )
    if len(known) == len(dataset):
        return dataset
    say(f"{len(dataset) - len(known)} of {len(dataset)} samples have no label and are left out.")
    return dataset.select(known)


def sample_list_sha256(dataset: Dataset) -> str:
    """Return the hash of which samples are counted and as what: where it is equal, accuracies compare."""
    labels = (dataset.classes[label] for label in dataset.class_indices)
    return sha256(canonical_json(sorted(zip(dataset.keys, labels, strict=True))))


def majority_rate(class_indices: npt.NDArray[np.int64] | Sequence[int]) -> float:
    """Return the accuracy of always naming the class that occurs most."""
    return float(np.bincount(class_indices).max() / len(class_indices))
