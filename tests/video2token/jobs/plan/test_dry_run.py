"""What a job would do, in numbers."""

from pathlib import Path

import pytest

from vfm.shards.errors import UsageError
from vfm.shards.format.plan import Source
from vfm.video2token.jobs.plan.dry_run import DryRun, count
from vfm.video2token.sources.listing import list_sources


def test_sources_are_counted_by_label_split_and_kind(tmp_path: Path) -> None:
    for name, num_bytes in (("a.mp4", 10), ("b.mp4", 5)):
        (tmp_path / name).write_bytes(b"x" * num_bytes)
    rows = "a.mp4,run|walk,1|2,train,0,1\na.mp4,run,,train,1,\nb.mp4,,3,,,\ngone.mp4,sit,,val,,\n"
    (tmp_path / "l.csv").write_text("path,labels,captions,split,start,end\n" + rows)
    sources = list_sources([tmp_path / "l.csv"], missing="quarantine").sources
    found = count(sources, samples_per_shard=3)
    assert found.first.pop(sources[0].key) == "a.mp4"
    assert set(found.first.values()) == {"a.mp4", "b.mp4", "gone.mp4"}
    assert found == DryRun(
        num_sources=4, num_shards=2, num_segments=2, num_in_tars=0, num_missing=1, num_captions=3,
        size_bytes=15, labels={"run": 2, "sit": 1, "walk": 1},
        splits={"train": 2, "": 1, "val": 1}, first=found.first,
    )  # fmt: skip


def test_members_of_a_tar_are_videos_of_their_own() -> None:
    sources = [
        Source(key=f"k{i}", identity=f"{i}", path="/t.tar", size_bytes=100 + i, mtime_ns=0, offset=512 * i)
        for i in range(7)
    ]
    found = count(sources, samples_per_shard=7)
    assert (found.num_in_tars, found.size_bytes, found.num_shards) == (7, 721, 1)
    assert len(found.first) == 5


def test_labels_that_are_as_many_stand_in_the_order_of_classes() -> None:
    sources = [
        Source(key=f"k{label}", identity=label, path=f"/{label}", labels=(label,), size_bytes=1, mtime_ns=0)
        for label in ("10", "2", "1")
    ]
    assert list(count(sources, samples_per_shard=7).labels) == ["1", "2", "10"]
    given = count(sources, samples_per_shard=7, classes=("2", "3", "10", "1")).labels
    assert list(given.items()) == [("2", 1), ("10", 1), ("1", 1)]
    with pytest.raises(UsageError, match="2 has the label '2', which is none of the classes"):
        count(sources, samples_per_shard=7, classes=("1", "10"))


def test_what_the_job_would_refuse_is_refused() -> None:
    twin = Source(key="k", identity="a", path="/a", size_bytes=1, mtime_ns=0)
    with pytest.raises(UsageError, match="Two sources have the key 'k'"):
        count([twin, Source(key="k", identity="b", path="/b", size_bytes=1, mtime_ns=0)], samples_per_shard=1)
