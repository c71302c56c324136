from dataclasses import replace

import numpy as np
import pytest

from support.toy import WITHOUT_CAPTION
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.reading.mixture import Source, open_mixture
from vfm.trainer.methods.simvtp.recipe import tiny
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.video_text.captioned import (
    count_cut,
    count_repeated,
    num_captions,
    with_captions,
)

RECIPE = with_columns(tiny(), ("frames", "text.toy"))


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(columns=("text.toy",)), columns=("frames", "text.toy"))


def test_captions_are_counted_without_reading_any(dataset, monkeypatch):
    monkeypatch.setattr(dataset, "_readers", {n: _Closed(r) for n, r in dataset._readers.items()})
    assert num_captions(dataset, "text.toy").tolist() == [2] * 7 + [0] + [2] * 4


class _Closed:
    """A reader of a column that has an index and nothing else."""

    def __init__(self, reader):
        self.index = reader.index


def test_samples_without_a_caption_are_left_out_aloud(dataset):
    told = []
    found = with_captions(dataset, RECIPE, say=told.append)
    assert [int(key[-3:]) for key in found.keys] == [i for i in range(12) if i != WITHOUT_CAPTION]
    # Samples 0 and 8, 1 and 9, 2 and 10, 3 and 11 have the same class and place.
    assert told == [
        "1 of 12 samples have no caption and are left out.",
        "8 of 11 samples have the captions of another: such pairs are never held against each other.",
    ]


def test_long_captions_are_counted_one_by_one_or_joined(dataset):
    some = dataset.select([0, 1, 2])
    assert count_cut(some, "text.toy", max_ids=4, is_joined=False) == (0, 6)
    assert count_cut(some, "text.toy", max_ids=3, is_joined=False) == (3, 6)
    assert count_cut(some, "text.toy", max_ids=5, is_joined=True) == (0, 3)
    assert count_cut(some, "text.toy", max_ids=4, is_joined=True) == (3, 3)
    told = []
    recipe = replace(RECIPE, objective=replace(RECIPE.objective, max_ids=3))
    with_captions(some, recipe, say=told.append)
    assert told == ["3 of 6 captions have more than 3 ids and are cut: objective.max_ids is the limit."]


def test_nobody_is_taken_for_a_repetition_of_itself(dataset):
    assert count_repeated(dataset.select([0, 1, 2, 3]), "text.toy") == 0
    assert count_repeated(dataset.select([0, 1, 8]), "text.toy") == 2


def test_several_datasets_are_counted_as_one(toy_dataset, dataset):
    other = toy_dataset("other", columns=("text.toy",), num_samples=3)
    sources = [Source(data=dataset.data), Source(data=other)]
    mixture = open_mixture(sources, columns=("frames", "text.toy"))
    assert num_captions(mixture, "text.toy").tolist() == [2] * 7 + [0] + [2] * 7


def test_a_dataset_without_any_caption_is_refused(dataset):
    silent = dataset.select(np.array([WITHOUT_CAPTION]))
    with pytest.raises(UsageError, match="No sample of .* has a caption here: extract from a list in which"):
        with_captions(silent, RECIPE, say=print)
