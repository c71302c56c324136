"""A JSON object of labels by path: ``{"v/a.mp4": "run", "v/b.mp4": 3}``."""

from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.path_texts import are_captions, each_text, is_of_paths


def fits(found: ListFile) -> bool:
    """Return whether the values may be labels: integers, or texts that are no sentences."""
    return is_of_paths(found.value) and not are_captions(found.value)


FORMAT = Format(
    title="an object of labels by path",
    example='{"v/a.mp4": 1,\n "v/b.mp4": 0}',
    fits=fits,
    entries=each_text("labels"),
    is_common=True,
)
