"""Rows of one video."""

from typing import Any

import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.merging import merged, whole_videos


def row(line: int, *captions: str, name: str = "a.mp4", **given: Any) -> Entry:
    return Entry(path=f"/v/{name}", name=name, where=f"l.csv line {line}", captions=captions, **given)


def test_rows_of_one_video_become_one_with_each_caption_as_often_as_the_list_has_it() -> None:
    rows = [
        row(1, "one", split="train"),
        row(2, "other", name="b.mp4"),
        row(3, "two", "one", split="train"),
        row(4, split="train"),
        row(5, "three", split="train"),
    ]
    assert merged(rows) == [row(1, "one", "two", "one", "three", split="train"), rows[1]]
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
    assert (found.labels, found.captions) == (("3", "7"), ("3 it", "7 it", "3 it"))


def test_segments_of_one_video_become_the_whole_video_in_the_order_of_their_begin() -> None:
    rows = [
        row(1, "he stops", start_s=4.0, end_s=9.0, labels=("stop",), split="train"),
        row(2, "other", name="b.mp4", start_s=1.0, split="train"),
        row(3, "he runs", start_s=0.5, end_s=5.0, labels=("run",), split="train"),
        row(4, "he runs", start_s=4.0, end_s=6.0, labels=("run", "sit"), split="train"),
        row(5, "it begins", end_s=2.0, split="train"),
    ]
    assert whole_videos(rows) == [
        row(
            5,
            *("it begins", "he runs", "he stops", "he runs"),
            labels=("run", "stop", "sit"),
            split="train",
        ),
        row(2, "other", name="b.mp4", split="train"),
    ]


def test_the_whole_videos_class_is_that_of_the_segment_that_begins_first() -> None:
    rows = [
        row(1, labels=("late",), class_index=7, start_s=3.0),
        row(2, labels=("early",), class_index=2, start_s=1.0),
    ]
    assert whole_videos(rows) == [row(2, labels=("early", "late"), class_index=2)]


def test_videos_in_one_file_stay_apart_and_a_segment_joins_the_whole_video_that_is_named_too() -> None:
    rows = [row(1, "a", offset=0, end_s=2.0), row(2, "b", offset=9), row(3, "c", offset=0)]
    assert whole_videos(rows) == [row(1, "a", "c", offset=0), row(2, "b", offset=9)]


def test_a_video_without_segments_is_as_without_the_option() -> None:
    rows = [row(1, "one"), row(2, "two"), row(3, "one")]
    assert whole_videos(rows) == merged(rows) == [row(1, "one", "two", "one")]
    bare = [row(1), row(2)]
    assert whole_videos(bare) == bare
    with pytest.raises(UsageError, match="gives a.mp4 the labels 'sit', and l.csv line 1 'run'"):
        whole_videos([row(1, "one", labels=("run",)), row(2, "two", labels=("sit",))])


@pytest.mark.parametrize(("name", "told"), [("split", "the split 'y', and"), ("key", "the key 'y', and")])
def test_segments_of_one_video_have_one_split_and_key(name: str, told: str) -> None:
    rows = [row(1, "a", end_s=1.0, **{name: "x"}), row(2, "b", start_s=1.0, **{name: "y"})]
    with pytest.raises(UsageError) as caught:
        whole_videos(rows)
    assert str(caught.value) == (
        f"l.csv line 2 gives a.mp4 {told} l.csv line 1 'x': write the same in all rows of a video."
    )
