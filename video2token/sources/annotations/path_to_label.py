"""A JSON object of labels by path: ``{"v/a.mp4": "run", "v/b.mp4": 3}``."""

from collections.abc import Iterator
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import texts_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.path_texts import are_captions, is_of_paths, items
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the values may be labels: integers, or texts that are no sentences."""
    return is_of_paths(found.value) and not are_captions(found.value)


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos with their labels.

    Raises:
        UsageError: it is no such object, or a value is neither a text, an integer nor a list of them.
    """
    for where, path, value in items(found):
        labels = texts_of(value, where=where, column="label", is_many=False)
        yield replace(reading.videos.named(path, where=where), labels=labels)


FORMAT = Format(
    title="an object of labels by path",
    example='{"v/a.mp4": 1,\n "v/b.mp4": 0}',
    fits=fits,
    entries=entries,
    is_common=True,
)
