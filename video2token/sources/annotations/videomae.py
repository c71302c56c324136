"""Lists of ``path label`` called .csv, as of VideoMAE (spaces) and UMT (commas), without a line of columns.

Source: the documentation of VideoMAE and UMT on preparing data sets.
"""

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry, is_media
from vfm.video2token.sources.lists.list_file import Line, ListFile
from vfm.video2token.sources.lists.list_format import Format, each_line
from vfm.video2token.sources.lists.path_lines import are_integers, cut_line, has_commas, named_video
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the first line is a video, and one label or none."""
    if not found.head:
        return False
    first = found.head[0]
    if found.path.suffix.lower() != ".csv" and not has_commas(first):
        return False
    path, labels = cut_line(first)
    if not are_integers(labels) or len(labels) > 1:
        return False
    return is_media(path) or is_media(path.partition(",")[0]) or (bool(labels) and "," not in path)


def _entry(line: Line, reading: Reading) -> Entry:
    path, labels = cut_line(line.text)
    if not is_media(path) and is_media(path.partition(",")[0]):
        raise UsageError(
            f"{line.where} names a video and a text: put a line such as path,label or path,caption before "
            "the first, which says what the text is."
        )
    if len(labels) > 1 or not are_integers(labels):
        raise UsageError(f"{line.where} is not a video and one label: fix it, or choose another --format.")
    return named_video(path, where=line.where, reading=reading, labels=labels)


FORMAT = Format(
    title="VideoMAE's or UMT's list of videos and labels",
    example="my v/78687.webm 1\nmy v/42326.webm 0",
    fits=fits,
    entries=each_line(_entry),
    is_common=True,
)
