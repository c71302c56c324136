"""A JSON object of captions by path, as of SimVTP: ``{"v/a.mp4": "a man runs", "v/b.mp4": ["one", "two"]}``.

Source: the data set code of SimVTP (Ma et al. 2022, arXiv:2212.03490).
"""

from collections.abc import Iterator
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import texts_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.path_texts import are_labels, is_of_paths, items
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the values may be captions: texts that do not repeat as labels do."""
    return is_of_paths(found.value) and not are_labels(found.value)


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos with their captions.

    Raises:
        UsageError: it is no such object, or a value is neither a text nor a list of them.
    """
    for where, path, value in items(found):
        captions = texts_of(value, where=where, column="caption", is_many=False)
        yield replace(reading.videos.named(path, where=where), captions=captions)


FORMAT = Format(
    title="an object of captions by path",
    example='{"v/a.mp4": "a man runs on a beach",\n "v/b.mp4": ["a dog jumps", "a dog catches a ball"]}',
    fits=fits,
    entries=entries,
    is_common=True,
)
