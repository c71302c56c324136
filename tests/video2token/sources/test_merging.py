"""Rows of one video."""

from typing import Any

import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.merging import merged


def row(line: int, *captions: str, name: str = "a.mp4", **given: Any) -> Entry:
    return Entry(path=f"/v/{name}", name=name, where=f"l.csv line {line}", captions=captions, **given)


def test_rows_of_one_video_become_one_with_each_caption_once() -> None:
    rows = [
        row(1, "one", split="train"),
        row(2, "other", name="b.mp4"),
        row(3, "two", "one", split="train"),
        row(4, split="train"),
        row(5, "three", split="train"),
    ]
    assert merged(rows) == [row(1, "one", "two", "three", split="train"), rows[1]]
    assert merged([row(1), row(2, "one")]) == [row(1, "one")]


def test_segments_and_places_in_a_file_are_samples_of_their_own() -> None:
    rows = [
        row(1, "a", start_s=0.0, end_s=2.0),
        row(2, "b", start_s=0.0, end_s=3.0),
        row(3, "c", start_s=None, end_s=2.0),
        row(4, "d", offset=0),
        row(5, "e", offset=1),
    ]
    assert merged(rows) == rows


def test_rows_without_captions_stay_apart() -> None:
    rows = [row(1, labels=("run",)), row(2, labels=("run",))]
    assert merged(rows) == rows


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({"labels": ("run", "sit")}, {"labels": ("run",)}, "the labels 'run', and l.csv line 1 'run', 'sit'"),
        ({"labels": ()}, {"labels": ("run",)}, "the labels 'run', and l.csv line 1 none"),
        ({"split": "train"}, {"split": "val"}, "the split 'val', and l.csv line 1 'train'"),
        ({"key": "x"}, {}, "the key None, and l.csv line 1 'x'"),
    ],
)
def test_rows_that_contradict_one_another_are_told(
    first: dict[str, Any], second: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        merged([row(1, "one", **first), row(2, "two", **second)])
    assert str(caught.value) == f"l.csv line 2 gives a.mp4 {told}: write the same in all rows of a video."


def test_rows_of_one_segment_with_several_labels_are_one_sample_where_the_format_says_so() -> None:
    rows = [
        Entry(path="/a", name="a", labels=(label,), captions=(f"{label} it",)) for label in ("3", "7", "3")
    ]
    (found,) = merged(rows, joins_labels=True)
    assert (found.labels, found.captions) == (("3", "7"), ("3 it", "7 it"))
