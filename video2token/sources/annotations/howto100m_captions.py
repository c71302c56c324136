"""HowTo100M's narrations: ``{ID: {"start": [...], "end": [...], "text": [...]}}``, or ``ID.csv`` of the same.

Each is a segment with a caption. Source: the files published with HowTo100M (Miech et al. 2019, ICCV,
arXiv:1906.03327).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, text_of, times_of
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

_FIELDS = ("start", "end", "text")


def fits(found: ListFile) -> bool:
    """Return whether the videos have lists of times and texts, or the columns are these and no more."""
    if _is_csv(found):
        return True
    first = next(iter(found.value.values()), None) if isinstance(found.value, dict) else None
    return isinstance(first, dict) and first.keys() >= set(_FIELDS)


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the segments with their texts.

    Raises:
        UsageError: it is neither of the two, or has lists of different lengths.
    """
    for video_id, row in _rows(found) if _is_csv(found) else _rows_of_json(found):
        times_s = times_of(row, "start", "end")
        text = text_of(row.cells.get("text"), where=row.where, column="text")
        entry = reading.videos.by_id(video_id, where=row.where, times_s=times_s)
        yield replace(entry, captions=only(text))


def _is_csv(found: ListFile) -> bool:
    return set(found.columns) - {""} == set(_FIELDS)


def _rows(found: ListFile) -> Iterator[tuple[str, Row]]:
    for row in found.rows():
        yield found.path.stem, row


def _rows_of_json(found: ListFile) -> Iterator[tuple[str, Row]]:
    if not isinstance(found.value, dict):
        raise UsageError(f"{found.path} has no start, end and text of videos: give a file of HowTo100M.")
    for video_id, facts in found.value.items():
        where = f"{found.path} video {video_id}"
        lists = [facts.get(name) for name in _FIELDS] if isinstance(facts, Mapping) else []
        lengths = {len(each) if isinstance(each, list) else -1 for each in lists}
        if len(lengths) != 1 or -1 in lengths:
            raise UsageError(f"{where} has not as many start, end and text: fix it.")
        for cells in zip(*lists, strict=True):
            yield video_id, Row(where=where, cells=dict(zip(_FIELDS, cells, strict=True)))


FORMAT = Format(
    title="HowTo100M's narrations",
    example='{"nVbIUDjzWY4": {"start": [9.52, 12.0], "end": [13.0, 15.1],\n'
    '  "text": ["first we take off the wheel", "and then the chain"]}}',
    fits=fits,
    entries=entries,
)
