"""A JSON object of captions by path, as of SimVTP: ``{"v/a.mp4": "a man runs", "v/b.mp4": ["one", "two"]}``.

Source: the data set code of SimVTP (Ma et al. 2022, arXiv:2212.03490).
"""

from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.path_texts import are_labels, each_text, is_of_paths


def fits(found: ListFile) -> bool:
    """Return whether the values may be captions: texts that do not repeat as labels do."""
    return is_of_paths(found.value) and not are_labels(found.value)


FORMAT = Format(
    title="an object of captions by path",
    example='{"v/a.mp4": "a man runs on a beach",\n "v/b.mp4": ["a dog jumps", "a dog catches a ball"]}',
    fits=fits,
    entries=each_text("captions"),
    is_common=True,
)
