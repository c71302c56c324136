"""Any sample, any member, any frame, in any process."""

import multiprocessing
import pickle
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.errors import DamageError, UsageError
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.reading.summary import summarize
from vfm.shards.verification.verify import verify

MakeDataset = Callable[..., Path]
BOTH = ("frames", "vq.demo")
# v6 is rejected; the order is that of the keys' hashes, see test_plan
KEYS = ["v0", "v7", "v1", "v4", "v3", "v5", "v2"]


@pytest.fixture
def data(make_dataset: MakeDataset) -> Path:
    return make_dataset()


@pytest.fixture
def dataset(data: Path) -> Dataset:
    return open_dataset(data, columns=BOTH)


def test_samples_are_in_the_plans_order(dataset: Dataset) -> None:
    assert len(dataset) == 7
    assert list(dataset.keys) == KEYS
    assert [dataset.keys[i] for i in range(7)] == KEYS
    assert list(dataset.keys[2:4]) == KEYS[2:4]
    assert dataset.classes == ("run", "walk")
    assert dataset.class_indices.tolist() == [1, 1, 0, 1, 0, 1, 1]
    assert dataset.splits.tolist() == ["train", "val", "train", "train", "train", "val", "train"]
    assert dataset.num_frames.tolist() == [1 + sum(key.encode()) % 4 for key in KEYS]


def test_metadata_and_members(dataset: Dataset) -> None:
    for i, key in enumerate(KEYS):
        meta = dataset.meta(i)
        assert (meta.key, meta.source, meta.num_frames) == (key, f"videos/{key}.mp4", dataset.num_frames[i])
        assert dataset.member(i, "frames", "json") == meta.to_json()
        assert dataset.member(i, "frames", "cls") == str(dataset.class_indices[i]).encode()


def test_frames_are_those_stored_in_any_order(dataset: Dataset, frames_of: Callable[..., np.ndarray]) -> None:
    for i, key in enumerate(KEYS):
        num_frames = int(dataset.num_frames[i])
        times = [*range(num_frames)][::-1] + [0]
        frames = dataset.frames(i, times)
        assert [frame.shape for frame in frames] == [(24, 32, 3)] * len(times)
        expected = frames_of(key, num_frames=num_frames)[times].astype(int)
        assert np.abs(np.stack(frames) - expected).max() <= 6


def test_frames_take_numpy_times_and_refuse_those_that_are_not_there(dataset: Dataset) -> None:
    assert len(dataset.frames(2, np.arange(2))) == 2
    for time in (-1, 4):
        with pytest.raises(IndexError, match=f"frame {time} of 4"):
            dataset.frames(2, [time])


def test_arrays_are_views_of_the_file(dataset: Dataset) -> None:
    for i, key in enumerate(KEYS):
        codes = dataset.array(i, "vq.demo", "codes")
        assert (codes.dtype, codes.shape) == (np.uint16, (1, dataset.num_frames[i], 3, 4))
        assert (codes == sum(key.encode())).all()
        assert not codes.flags.writeable
        assert not codes.flags.owndata
        np.testing.assert_array_equal(codes, dataset.array(i, "vq.demo", "codes.npy"))


def test_what_was_not_opened_is_not_there(data: Path) -> None:
    codes = open_dataset(data, columns=("vq.demo",))
    assert list(codes.keys) == KEYS
    assert codes.meta(0).key == "v0"
    with pytest.raises(IndexError, match="frame 0 of 0"):
        codes.frames(0, [0])
    with pytest.raises(KeyError, match=r"vq\.demo"):
        open_dataset(data).array(0, "vq.demo", "codes")
    with pytest.raises(KeyError, match="txt"):
        codes.member(0, "frames", "txt")


def test_codes_can_be_read_without_the_frames_tars(data: Path) -> None:
    for path in (data / "frames").glob("*.tar"):
        path.unlink()
    dataset = open_dataset(data, columns=("vq.demo",))
    assert dataset.array(0, "vq.demo", "codes").shape == (1, 3, 3, 4)
    assert dataset.class_indices[0] == 1


def test_a_split_is_selected(data: Path) -> None:
    val = open_dataset(data, columns=BOTH, select_split="val")
    assert list(val.keys) == ["v7", "v5"]
    assert val.meta(1).key == "v5"
    assert (val.array(1, "vq.demo", "codes") == sum(b"v5")).all()
    assert val.classes == ("run", "walk")


def test_an_unknown_split_names_those_there_are(data: Path) -> None:
    attempts = {
        "test": "'test': choose one of these: train (5), val (2), all (7).",
        "none": "'none': choose one of these: train (5), val (2), all (7).",
        "testing": "'testing' (test): choose one of these: train (5), val (2), all (7).",
    }
    for split, told in attempts.items():
        with pytest.raises(UsageError) as caught:
            open_dataset(data, select_split=split)
        assert str(caught.value) == f"{data} has no sample of split {told}"


@pytest.mark.parametrize("stored", ["val", "valid", "validate", "Validation"])
def test_a_split_is_found_under_any_of_its_names(make_dataset: Callable[..., Path], stored: str) -> None:
    data = make_dataset(splits=(stored, "trn"), rejected=())
    dataset = open_dataset(data)
    assert sorted(zip(list(dataset.keys), dataset.splits.tolist(), strict=True)) == [
        (f"v{i}", "train" if i % 2 else "val") for i in range(8)
    ]
    found = [open_dataset(data, select_split=split) for split in ("val", "validation", "Validate", stored)]
    assert [sorted(chosen.keys) for chosen in found] == [["v0", "v2", "v4", "v6"]] * 4
    assert len({chosen.fingerprint for chosen in found}) == 1
    assert found[0][0]["split"] == "val"
    assert summarize(data).splits == {"train": 4, "val": 4}
    assert list(verify(data)) == []


def test_all_is_every_sample(make_dataset: Callable[..., Path]) -> None:
    data = make_dataset(splits=(None,))
    every = open_dataset(data)
    for split in ("all", "ALL"):
        chosen = open_dataset(data, select_split=split)
        assert (list(chosen.keys), chosen.fingerprint) == (list(every.keys), every.fingerprint)
    with pytest.raises(UsageError) as caught:
        open_dataset(data, select_split="val")
    assert str(caught.value) == (
        f"{data} has no sample of split 'val', and none of its samples has a split: `--split all` takes "
        "every sample."
    )


def test_test_is_a_split_of_its_own(make_dataset: Callable[..., Path]) -> None:
    data = make_dataset(splits=("train", "testing", None), rejected=())
    with pytest.raises(UsageError) as caught:
        open_dataset(data, select_split="val")
    assert str(caught.value) == (
        f"{data} has no sample of split 'val': choose one of these: test (3), train (3), all (8); test is a "
        "split of its own, which `--split test` takes."
    )
    assert sorted(open_dataset(data, select_split="test").keys) == ["v1", "v4", "v7"]


def test_selections_nest(dataset: Dataset) -> None:
    some = dataset.select([4, 1, 1]).select(np.array([2, 0]))
    assert list(some.keys) == ["v7", "v3"]
    assert some.meta(0).key == "v7"
    assert some.find("v3") == 1


def test_fingerprints_follow_the_bytes_and_the_selection(make_dataset: MakeDataset, data: Path) -> None:
    def fingerprint(folder: Path, **options: object) -> str:
        return open_dataset(folder, **options).fingerprint  # type: ignore[arg-type]

    same = make_dataset("same")
    other = make_dataset("other", rejected=("v6", "v2"))
    assert fingerprint(data) == fingerprint(same)
    assert fingerprint(data, columns=BOTH) == fingerprint(same, columns=BOTH[::-1])
    different = {
        fingerprint(data),
        fingerprint(data, columns=BOTH),
        fingerprint(data, columns=("vq.demo",)),
        fingerprint(data, select_split="val"),
        fingerprint(other),
    }
    assert len(different) == 5


def test_shards_without_samples_are_passed_over(make_dataset: MakeDataset) -> None:
    dataset = open_dataset(make_dataset(rejected=("v0", "v7", "v1", "v6")), columns=BOTH)
    assert list(dataset.keys) == ["v4", "v3", "v5", "v2"]
    assert dataset.meta(0).key == "v4"
    assert (dataset.array(3, "vq.demo", "codes") == sum(b"v2")).all()


def test_a_dataset_without_samples_opens(make_dataset: MakeDataset) -> None:
    dataset = open_dataset(make_dataset(num_sources=2, rejected=("v0", "v1")), columns=BOTH)
    assert len(dataset) == 0
    assert list(dataset.keys) == []


def test_damage_is_an_error_not_a_sample(data: Path, dataset: Dataset) -> None:
    path = data / "vq.demo" / "000000.tar"
    tar = bytearray(path.read_bytes())
    tar[512 + 128 + 3] ^= 4
    path.write_bytes(tar)
    with pytest.raises(
        DamageError, match=r"v0\.codes\.npy of column vq\.demo in .*000000\.tar does not match"
    ):
        dataset.array(0, "vq.demo", "codes")
    assert dataset.array(1, "vq.demo", "codes").shape[1] == 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_open_their_own(dataset: Dataset, method: str) -> None:
    expected = [dataset.member(i, "frames", "json") for i in range(7)]
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        read = [pool.submit(dataset.member, i, "frames", "json") for i in range(7)]
        frames = [pool.submit(dataset.frames, i, [0]) for i in range(7)]
        assert [job.result() for job in read] == expected
        for i, job in enumerate(frames):
            np.testing.assert_array_equal(job.result()[0], dataset.frames(i, [0])[0])


def count_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_pickling_keeps_no_file_open(dataset: Dataset) -> None:
    dataset.meta(0)
    num_open = count_open_files()
    copy = pickle.loads(pickle.dumps(dataset))
    assert count_open_files() == num_open
    assert copy.meta(0) == dataset.meta(0)
    assert copy.fingerprint == dataset.fingerprint


def test_sizes_and_checksums_are_told_without_reading(dataset: Dataset) -> None:
    chosen = dataset.select([3, 0])
    members = [chosen.member(index, "frames", "json") for index in range(2)]
    sizes_bytes, crcs = chosen.stored("frames", "json")
    assert sizes_bytes.tolist() == [len(member) for member in members]
    assert crcs.tolist() == [zlib.crc32(member) for member in members]
