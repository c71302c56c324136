import pytest

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.labels import majority_rate, sample_list_sha256, with_labels


def test_unlabelled_samples_are_left_out_aloud(toy_dataset):
    said = []
    dataset = with_labels(open_dataset(toy_dataset(unlabelled=(0, 7))), say=said.append)
    assert len(dataset) == 10
    assert "clip-007" not in list(dataset.keys)
    assert said == ["2 of 12 samples have no label and are left out."]


def test_labelled_dataset_stays_as_it_is(toy_dataset):
    dataset = open_dataset(toy_dataset())
    assert with_labels(dataset, say=pytest.fail) is dataset


def test_dataset_without_labels(toy_dataset):
    with pytest.raises(UsageError, match="data has no labels here: name them in a CSV list"):
        with_labels(open_dataset(toy_dataset(classes=())), say=pytest.fail)


def test_hash_of_the_sample_list(toy_dataset):
    dataset = open_dataset(toy_dataset())
    whole = sample_list_sha256(dataset)
    assert sample_list_sha256(dataset.select(range(11, -1, -1))) == whole
    assert sample_list_sha256(dataset.select(range(11))) != whole
    assert sample_list_sha256(open_dataset(toy_dataset("b", classes=("left", "up")))) != whole


def test_majority():
    assert majority_rate([2, 0, 2, 1]) == 0.5
