"""Kinetics-400, -600 and -700: ``label,youtube_id,time_start,time_end,split``, or the same as JSON by id.

Source: the files published with Kinetics (Kay et al. 2017, arXiv:1705.06950), whose trimmed clips are named
``ID_START_END`` with six digits each, in whole seconds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, row_texts, seconds_of
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading
from vfm.video2token.sources.lists.video_finder import is_inside

_NEEDED = ("youtube_id", "time_start", "time_end")
_KNOWN = (*_NEEDED, "label", "split", "is_cc")


def fits(found: ListFile) -> bool:
    """Return whether the columns are those of a Kinetics list, or the values those of its JSON."""
    return found.has("youtube_id") or _is_json(found.value)


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the clips of a Kinetics list.

    A clip is looked for in the root and its folders of the split, the label and both, then anywhere below:
    first as ``ID_START6_END6``, which is the segment already, then as ``ID``, the whole video, of which the
    sample is the segment.

    Raises:
        UsageError: a column or cell that cannot be understood.
    """
    rows = _rows_of_json(found) if isinstance(found.value, dict) else found.rows()
    for row in rows:
        _check_columns(row, reading=reading)
        yield _entry(row, reading=reading)


def _is_json(value: object) -> bool:
    first = next(iter(value.values()), None) if isinstance(value, dict) else None
    return isinstance(first, dict) and {"annotations", "subset"} <= first.keys()


def _rows_of_json(found: ListFile) -> Iterator[Row]:
    """Yield the entries of ``{ID: {"annotations": {"label", "segment"}, "subset"}}`` as rows of the CSV."""
    assert isinstance(found.value, dict)
    for youtube_id, value in found.value.items():
        where = f"{found.path} entry {youtube_id}"
        facts = value.get("annotations") if isinstance(value, Mapping) else None
        segment = facts.get("segment") if isinstance(facts, Mapping) else None
        if not isinstance(facts, Mapping) or not isinstance(segment, list) or len(segment) != 2:
            raise UsageError(f"{where} has no segment of two times: write it as Kinetics does.")
        start, end = segment
        yield Row(
            where=where,
            cells={
                "youtube_id": youtube_id,
                "time_start": start,
                "time_end": end,
                "label": facts.get("label"),
                "split": value.get("subset"),
            },
        )


def _check_columns(row: Row, *, reading: Reading) -> None:
    if missing := [name for name in _NEEDED if name not in row.cells]:
        raise UsageError(f"{row.where}: a Kinetics list needs a column {missing[0]}: add it.")
    strange = [name for name in row.cells if name not in _KNOWN and name]
    if strange and reading.options.other_columns == "error":
        raise UsageError(
            f"{row.where}: a Kinetics list has no column {strange[0]!r}: drop it, or use "
            "--other-columns ignore."
        )


def _entry(row: Row, *, reading: Reading) -> Entry:
    youtube_id, label, split = row_texts(row, "youtube_id", "label", "split")
    start_s, end_s = (seconds_of(row.cells[name], where=row.where, column=name) for name in _NEEDED[1:])
    if youtube_id is None or start_s is None or end_s is None:
        raise UsageError(f"{row.where} has no youtube_id or no times: write them, or delete the line.")
    entry = reading.videos.by_id(
        youtube_id, where=row.where, folders=_folders(label, split), times_s=(start_s, end_s)
    )
    return replace(entry, labels=only(label), split=split)


def _folders(label: str | None, split: str | None) -> Iterable[str]:
    """Return where a clip may be, relative to the root; spaces in a label may be underscores on the disk."""
    labels = [name for name in dict.fromkeys((label, label and label.replace(" ", "_"))) if name]
    splits = [split] if split else []
    nested = [f"{one}/{other}" for one in splits for other in labels]
    # A folder of the label alone may hold clips of every split; a name with a slash would lead elsewhere.
    return [name for name in (*nested, *splits, *labels) if is_inside(name)]


FORMAT = Format(
    title="Kinetics' list",
    example="label,youtube_id,time_start,time_end,split\ntestifying,---QUuC4vJs,84,94,validate",
    fits=fits,
    entries=entries,
)
