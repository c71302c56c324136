"""What a prompt shows of a dataset: its line, and samples whose arrays are the caller's own."""

import gc
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.reading.mixture import Source, open_mixture

WriteDataset = Callable[..., Path]
FILES = Path("/proc/self/fd")


@pytest.fixture
def data(toy_dataset: WriteDataset) -> Path:
    return toy_dataset(num_samples=7, unlabelled=(2,), splits=("train", "val", ""))


@pytest.fixture
def dataset(data: Path) -> Dataset:
    return open_dataset(data, columns=("frames", "vq.toy"))


def test_an_item_holds_what_the_dataset_has_of_its_sample(dataset: Dataset) -> None:
    for index in range(7):
        item = dataset[index]
        assert list(item) == ["key", "source", "label", "split", "fps", "pts_s", "frames", "vq.toy"]
        assert (item["key"], item["source"]) == (f"clip-{index:03d}", f"clip-{index:03d}.mp4")
        assert item["label"] == ("left", "right", None, "right", "left", "right", "left")[index]
        assert item["split"] == ("train", "val", None)[index % 3]
        assert item["fps"] == 2.0
        assert item["pts_s"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
        assert (item["frames"].dtype, item["frames"].shape) == (np.uint8, (8, 32, 32, 3))
        np.testing.assert_array_equal(item["frames"], np.stack(dataset.frames(index, range(8))))
        assert list(item["vq.toy"]) == ["codes"]
        np.testing.assert_array_equal(item["vq.toy"]["codes"], dataset.array(index, "vq.toy", "codes"))


def test_arrays_of_an_item_are_the_callers_own(dataset: Dataset) -> None:
    mine, before = dataset[3], dataset[3]
    for array in (mine["frames"], mine["pts_s"], mine["vq.toy"]["codes"]):
        assert array.flags.writeable
        assert array.flags.c_contiguous
        array[:] = 7
    after = dataset[3]
    np.testing.assert_array_equal(after["frames"], before["frames"])
    np.testing.assert_array_equal(after["pts_s"], before["pts_s"])
    np.testing.assert_array_equal(after["vq.toy"]["codes"], before["vq.toy"]["codes"])
    assert (dataset.array(3, "vq.toy", "codes") != 7).any()


def test_only_columns_that_were_opened_are_in_an_item(data: Path) -> None:
    assert "frames" not in open_dataset(data, columns=("vq.toy",))[0]
    assert "vq.toy" not in open_dataset(data)[0]


def test_any_whole_number_is_an_index(dataset: Dataset) -> None:
    assert dataset[-1]["key"] == dataset[6]["key"] == dataset[np.int64(6)]["key"] == "clip-006"
    assert dataset[np.uint8(2)]["key"] == dataset[-5]["key"] == "clip-002"
    assert dataset.select([5, 1])[-1]["key"] == "clip-001"


def test_what_is_no_sample_is_told(dataset: Dataset) -> None:
    for index in (7, -8, np.int64(100)):
        with pytest.raises(IndexError, match=f"^There is no sample {index} of {dataset.data}: it has 7.$"):
            dataset[index]
    told = f"names no sample of {dataset.data}: use a whole number, or dataset.select for several.$"
    for key in ("clip-001", slice(2), 1.0):
        with pytest.raises(TypeError, match=told):
            dataset[key]  # type: ignore[index]


@pytest.mark.skipif(not FILES.is_dir(), reason="open files are counted in /proc")
def test_files_are_closed_with_the_dataset(data: Path) -> None:
    dataset = open_dataset(data, columns=("frames", "vq.toy"))
    kept = [*dataset, dataset.clips(num_frames=2, size_px=16)[0]]
    assert open_in(data)
    del dataset
    gc.collect()
    assert open_in(data) == []
    assert kept[0]["frames"].any()


def open_in(folder: Path) -> list[str]:
    links = [os.path.realpath(link) for link in FILES.iterdir()]
    return [link for link in links if link.startswith(str(folder))]


def test_iterating_ends(dataset: Dataset) -> None:
    assert [item["key"] for item in dataset] == list(dataset.keys)
    assert [item["key"] for item in dataset.select([2, 0])] == ["clip-002", "clip-000"]


def test_a_line_says_what_it_is(dataset: Dataset, data: Path) -> None:
    assert repr(dataset) == (
        f"Dataset('{data}', num_samples=7, splits=['train', 'val'], num_classes=2, fps=None, size_px=None, "
        "columns=['frames', 'vq.toy'])"
    )
    some = open_dataset(data, columns=("vq.toy",), select_split="val")
    assert "num_samples=2, splits=['val'], num_classes=2" in repr(some)
    assert repr(some).endswith("columns=['vq.toy'])")
    assert str(some) == str(data)
    assert "num_samples=0, splits=[]," in repr(dataset.select([]))


def test_a_mixture_has_items_and_a_line(dataset: Dataset, data: Path, toy_dataset: WriteDataset) -> None:
    other = toy_dataset("other", num_samples=3, classes=("up",))
    mixture = open_mixture([Source(data=data), Source(data=other)], columns=("frames", "vq.toy"))
    assert repr(mixture).startswith(f"Mixture('{data} and {other}', num_samples=10, ")
    assert repr(mixture).endswith("columns=['frames', 'vq.toy'])")
    assert mixture[-1]["label"] == "up"
    assert mixture[6]["label"] == dataset[6]["label"] == "left"
    np.testing.assert_array_equal(mixture[6]["frames"], dataset[6]["frames"])
    assert len(list(mixture)) == 10


def test_a_pickled_dataset_has_the_same_items(dataset: Dataset) -> None:
    before = dataset[4]
    again = pickle.loads(pickle.dumps(dataset))
    assert repr(again) == repr(dataset)
    np.testing.assert_array_equal(again[4]["frames"], before["frames"])
