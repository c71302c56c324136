"""A sample is found by what a person types."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.format.plan import read_plan, write_plan
from vfm.shards.reading.dataset import open_dataset
from vfm.shards.reading.lookup import AmbiguousError, Lookup, canonical_splits


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Path:
    return make_dataset(num_sources=12, samples_per_shard=5, rejected=("v6",))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("v1", "v1"),
        ("v11", "v11"),
        ("v0", "v0"),
        ("videos/v3.mp4", "v3"),
        ("/somewhere/videos/v3.mp4", "v3"),
        ("v3.mp4", "v3"),
        ("videos/v3", "v3"),
    ],
)
def test_found(data: Path, text: str, key: str) -> None:
    dataset = open_dataset(data)
    assert dataset.keys[dataset.find(text)] == key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v", r"'v' means 11 samples of .* \(v\w+, v\w+, v\w+, v\w+, v\w+, …\): write more of it"),
        ("x", r"has no sample 'x': `vfm inspect .*data` shows"),
        ("", "means 11 samples"),
        ("v6", r"videos/v6\.mp4 was rejected \(no_video\): No picture in it"),
        ("v6.mp4", r"was rejected \(no_video\)"),
        ("é\udce9", "has no sample"),
    ],
)
def test_not_found(data: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_dataset(data).find(text)


def test_a_sample_of_another_split_is_said_to_be_there(data: Path) -> None:
    with pytest.raises(UsageError, match="v5.mp4 is not among the samples selected"):
        open_dataset(data, select_split="train").find("v5")


def test_the_start_of_a_key_is_enough(make_dataset: Callable[..., Path]) -> None:
    dataset = open_dataset(make_dataset(num_sources=11, rejected=()))
    assert dataset.keys[dataset.find("v10")] == "v10"
    with pytest.raises(UsageError, match="no sample 'v99'"):
        dataset.find("v99")
    assert dataset.select([dataset.find("v3")]).find("v") == 0


def test_without_a_plan_only_keys_are_found(data: Path) -> None:
    (data / "plan.parquet").unlink()
    dataset = open_dataset(data)
    assert dataset.keys[dataset.find("v3")] == "v3"
    with pytest.raises(UsageError, match="is missing: find the sample by its key"):
        dataset.find("v3.mp4")


def test_names_are_found_together_and_never_by_their_start(data: Path) -> None:
    dataset = open_dataset(data, select_split="val")
    lookup = Lookup(dataset.data, keys=dataset.keys.to_bytes())
    found = lookup.named(["v5", "videos/v5.mp4", "v1", "v6", "v", "v5"])
    row = dataset.find("v5")
    assert (found["v5"], found["videos/v5.mp4"]) == (row, row)
    told = {name: str(found[name]) for name in ("v1", "v6", "v")}
    assert told["v1"] == "videos/v1.mp4 is not among the samples selected here: choose another split."
    assert told["v6"] == "videos/v6.mp4 was rejected (no_video): No picture in it."
    assert told["v"].startswith(f"{data} has no sample 'v': ")


def test_a_name_of_several_is_refused(make_dataset: Callable[..., Path]) -> None:
    dataset = open_dataset(make_dataset(num_sources=3, rejected=()))
    plan = read_plan(dataset.data / "plan.parquet")
    again = replace(plan.sources[1], key="again", identity="other/v1.mp4", path="/other/v1.mp4")
    write_plan(dataset.data / "plan.parquet", replace(plan, sources=(*plan.sources, again)))
    lookup = Lookup(dataset.data, keys=dataset.keys.to_bytes())
    with pytest.raises(AmbiguousError, match=r"'v1.mp4' means 2 samples of .* \(videos/v1.mp4, .*more of it"):
        lookup.named(["v1.mp4"])


def test_many_at_once_grow_where_a_name_is_longer() -> None:
    splits = np.array(["trn", "val", "", "dev"])
    assert canonical_splits(splits).tolist() == ["train", "val", "", "dev"]
    assert splits.tolist() == ["trn", "val", "", "dev"]
    assert canonical_splits(np.zeros(0, "U1")).tolist() == []
    known = np.array(["train", "test"])
    assert canonical_splits(known) is known
