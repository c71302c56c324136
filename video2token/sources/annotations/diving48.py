"""Diving48: JSON objects with ``vid_name``, ``label`` (0 to 47), ``start_frame`` and ``end_frame``.

The frames are those of the published clips, which are cut already: they are no segments. Source: the files
published with Diving48 V2 (Li et al. 2018, ECCV).
"""

from collections.abc import Iterator
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import text_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the entries have the fields of Diving48."""
    return found.has("vid_name", "label")


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the clips with their labels."""
    for row in found.rows():
        name, label = (
            text_of(row.cells.get(column), where=row.where, column=column) for column in ("vid_name", "label")
        )
        entry = reading.videos.by_id(name, where=row.where)
        yield replace(entry, labels=() if label is None else (label,))


FORMAT = Format(
    title="Diving48's list",
    example='[{"vid_name": "-mwcnyUVtrA_00001", "label": 26, "start_frame": 0, "end_frame": 128},\n'
    ' {"vid_name": "-mwcnyUVtrA_00002", "label": 3, "start_frame": 0, "end_frame": 97}]',
    fits=fits,
    entries=entries,
    classes=lambda _found, _reading: tuple(map(str, range(48))),
)
