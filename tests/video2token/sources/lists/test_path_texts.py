"""Objects of texts by path: labels, captions, or either."""

from typing import Any

import pytest

from vfm.video2token.sources.lists.path_texts import are_captions, are_labels, is_of_paths


@pytest.mark.parametrize(
    ("value", "is_it"),
    [
        ({"v/a.mp4": "run"}, True),
        ({"a.mp4": ["run", 3]}, True),
        ({"a.mp4": None}, True),
        ({"a.mp4": {"label": 1}}, False),
        ({"a": "run"}, False),
        ({}, False),
        (["a.mp4"], False),
        (None, False),
    ],
)
def test_object_of_paths(value: object, is_it: bool) -> None:  # noqa: FBT001
    assert is_of_paths(value) == is_it


@pytest.mark.parametrize(
    ("texts", "are"),
    [
        (["run", "sit", "run", "sit"], "labels"),
        ([3, 0], "labels"),
        (["3", "0"], "labels"),
        ([["1", "2"], 0], "labels"),
        (["cat", "dog"], "either"),
        (["a cat", "a dog"], "either"),
        (["run", "run", "sit"], "either"),
        (["a cat sleeps", "a dog barks"], "captions"),
        ([["a cat sleeps", "it wakes up"], "a dog"], "either"),
        ([["a cat sleeps", "it wakes up now"], "a dog"], "captions"),
        ([None], "either"),
    ],
)
def test_labels_repeat_and_captions_have_words(texts: list[Any], are: str) -> None:
    value = {f"{number}.mp4": text for number, text in enumerate(texts)}
    assert (are_labels(value), are_captions(value)) == (are == "labels", are == "captions")
