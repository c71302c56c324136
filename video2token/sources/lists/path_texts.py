"""JSON objects of texts by path, and whether the texts are labels or captions, which no field says."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry, is_media
from vfm.video2token.sources.lists.cells import texts_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.reading import Reading

_MIN_WORDS = 3  # on average; labels seldom have as many, and repeat


def is_of_paths(value: object) -> bool:
    """Return whether a JSON value is an object whose first name is a video's and whose values are simple."""
    if not isinstance(value, dict) or not value:
        return False
    return is_media(str(next(iter(value)))) and not any(isinstance(each, dict) for each in value.values())


def are_labels(value: Any) -> bool:
    """Return whether the values are surely labels: integers, or texts of which each stands twice or more."""
    texts = _texts(value)
    are_numbers = all(isinstance(text, int) or str(text).isdigit() for text in texts)
    return bool(texts) and (are_numbers or 2 * len(set(texts)) <= len(texts))


def are_captions(value: Any) -> bool:
    """Return whether the values are surely captions: texts of several words, none of them twice."""
    texts = _texts(value)
    num_words = sum(len(str(text).split()) for text in texts)
    return bool(texts) and len(set(texts)) == len(texts) and num_words >= _MIN_WORDS * len(texts)


def each_text(
    field: Literal["labels", "captions"],
) -> Callable[[ListFile, Reading], Iterator[Entry]]:
    """Return the ``entries`` of a format that is such an object, whose texts are labels or captions.

    They raise UsageError where the file holds something else, or a value is neither a text, an integer nor a
    list of them.
    """
    return lambda found, reading: _entries(found, reading, field=field)


def _entries(found: ListFile, reading: Reading, *, field: str) -> Iterator[Entry]:
    if not isinstance(found.value, dict):
        raise UsageError(f"{found.path} does not hold an object of texts by path: choose another --format.")
    for number, (path, value) in enumerate(found.value.items(), 1):
        where = f"{found.path} entry {number}"
        texts = texts_of(value, where=where, column=field.removesuffix("s"), is_many=False)
        entry = reading.videos.named(path, where=where)
        yield replace(entry, labels=texts) if field == "labels" else replace(entry, captions=texts)


def _texts(value: dict[str, Any]) -> list[Any]:
    lists = (each if isinstance(each, list) else [each] for each in value.values())
    return [text for each in lists for text in each if isinstance(text, str | int)]
