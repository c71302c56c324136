"""The summary counts what is there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vfm.shards.errors import UsageError
from vfm.shards.reading.summary import summarize


def test_a_finished_dataset(make_dataset: Callable[..., Path]) -> None:
    data = make_dataset(rejected=("v6", "v2"))
    summary = summarize(data)
    # frames are 1 + sum of the key's bytes % 4: v0 3, v7 2, v1 4, v4 3, v3 2, v5 4
    assert (summary.num_sources, summary.num_shards) == (8, 3)
    assert (summary.num_ok, summary.num_partial, summary.num_rejected, summary.num_pending) == (6, 0, 2, 0)
    assert (summary.num_frames, summary.frames_per_sample) == (18, (2, 3.0, 4))
    assert (summary.labels, summary.num_unlabelled) == ({"run": 2, "walk": 4}, 0)
    assert summary.splits == {"train": 4, "val": 2}
    assert summary.rejected_by_reason == {"no_video": 2}
    assert [column.name for column in summary.columns] == ["frames", "vq.demo"]
    frames = summary.columns[0]
    assert (frames.kind, frames.fields, frames.num_samples) == ("frames", ("json", "mp4", "cls"), 6)
    assert frames.size_bytes == sum(path.stat().st_size for path in (data / "frames").glob("*.tar"))


def test_an_unfinished_dataset_counts_what_is_pending(make_dataset: Callable[..., Path]) -> None:
    summary = summarize(make_dataset(skip_shards={"frames": {1}, "vq.demo": {1, 2}}))
    assert [column.num_shards_done for column in summary.columns] == [2, 1]
    assert summary.num_pending == 3
    assert summary.num_ok + summary.num_rejected + summary.num_pending == summary.num_sources


def test_a_dataset_without_samples(make_dataset: Callable[..., Path]) -> None:
    summary = summarize(make_dataset(num_sources=2, rejected=("v0", "v1")))
    assert summary.frames_per_sample is None
    assert (summary.num_ok, summary.num_rejected, summary.num_frames) == (0, 2, 0)


def test_json(make_dataset: Callable[..., Path]) -> None:
    summary = summarize(make_dataset())
    value = json.loads(summary.to_json())
    assert value["frames_per_sample"] == [1, 3.0, 4]
    assert value["columns"][1]["name"] == "vq.demo"
    assert value == json.loads(json.dumps(summary.to_dict()))


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a vfm dataset"):
        summarize(tmp_path)
