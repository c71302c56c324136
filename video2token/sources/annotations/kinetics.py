"""The lists of Kinetics: ``label,youtube_id,time_start,time_end,split``, and the files they mean.

Source: the CSV files published with Kinetics-400, -600 and -700 (Kay et al. 2017, arXiv:1705.06950), whose
trimmed clips are named ``ID_START_END`` with six digits each, in whole seconds.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.sources.cells import check_segment, locate, seconds_of, text_of
from vfm.video2token.sources.entry import Entry, ListOptions, Row
from vfm.video2token.sources.lookup import Lookup

_NEEDED = ("youtube_id", "time_start", "time_end")
KNOWN = (*_NEEDED, "label", "split", "is_cc")
_SUFFIX = ".mp4"  # of the name that a missing video is told by


def is_header(header: Sequence[str]) -> bool:
    """Return whether the columns are those of a Kinetics list."""
    return "youtube_id" in {name.strip().lower() for name in header}


def entries(path: Path, rows: Iterable[Row], *, options: ListOptions) -> Iterator[Entry]:
    """Yield the clips of a Kinetics list.

    A clip is looked for in the root and its folders of the split, the label and both: first as
    ``ID_START6_END6``, which is the segment already, then as ``ID``, the whole video, of which the sample is
    the segment. One that is nowhere is told by its first name.

    Raises:
        UsageError: a column or cell that cannot be understood.
    """
    root = options.root_of(path)
    lookup = Lookup(root)
    for row in rows:
        yield _entry(row, cells=_plain(row, options=options), root=str(root), lookup=lookup)


def _plain(row: Row, *, options: ListOptions) -> dict[str, object]:
    """Return the cells by the plain name of their columns."""
    cells = {column.strip().lower(): value for column, value in row.cells.items()}
    if missing := [name for name in _NEEDED if name not in cells]:
        raise UsageError(f"{row.where}: a Kinetics list needs a column {missing[0]}: add it.")
    if options.other_columns == "error" and (strange := [name for name in cells if name not in KNOWN]):
        raise UsageError(
            f"{row.where}: a Kinetics list has no column {strange[0]!r}: drop it, or use "
            "--other-columns ignore."
        )
    return cells


def _entry(row: Row, *, cells: dict[str, object], root: str, lookup: Lookup) -> Entry:
    youtube_id, label, split = (
        text_of(cells.get(name), where=row.where, column=name) for name in ("youtube_id", "label", "split")
    )
    start_s, end_s = (seconds_of(cells[name], where=row.where, column=name) for name in _NEEDED[1:])
    if youtube_id is None or "/" in youtube_id or start_s is None or end_s is None:
        raise UsageError(f"{row.where} has no youtube_id or no times: write them, or delete the line.")
    check_segment(start_s, end_s, where=row.where)
    trimmed = f"{youtube_id}_{int(start_s):06d}_{int(end_s):06d}"
    folders = _folders(label, split)
    found, is_whole = lookup.find(trimmed, folders=folders), False
    if found is None:
        found, is_whole = lookup.find(youtube_id, folders=folders), True
    file, name = locate(found or trimmed + _SUFFIX, root=root, where=row.where)
    is_segment = found is not None and is_whole
    return Entry(
        path=file,
        name=name,
        where=row.where,
        labels=() if label is None else (label,),
        split=split,
        start_s=start_s if is_segment else None,
        end_s=end_s if is_segment else None,
    )


def _folders(label: str | None, split: str | None) -> list[str]:
    """Return where a clip may be, relative to the root; spaces in a label may be underscores on the disk."""
    labels = [name for name in dict.fromkeys((label, label and label.replace(" ", "_"))) if name]
    splits = [split] if split else []
    nested = [f"{one}/{other}" for one in splits for other in labels]
    # A folder of the label alone may hold clips of every split; a name with a slash would lead elsewhere.
    return [".", *(name for name in (*nested, *splits, *labels) if _is_inside(name))]


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")
