"""Diving48: JSON objects with ``vid_name``, ``label`` (0 to 47), ``start_frame`` and ``end_frame``.

The frames are those of the published clips, which are cut already: they are no segments. Source: the files
published with Diving48 V2 (Li et al. 2018, ECCV).
"""

from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, row_texts
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format, each_row
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the entries have the fields of Diving48."""
    return found.has("vid_name", "label")


def _entry(row: Row, reading: Reading) -> Entry:
    name, label = row_texts(row, "vid_name", "label")
    return replace(reading.videos.by_id(name, where=row.where), labels=only(label))


FORMAT = Format(
    title="Diving48's list",
    example='[{"vid_name": "-mwcnyUVtrA_00001", "label": 26, "start_frame": 0, "end_frame": 128},\n'
    ' {"vid_name": "-mwcnyUVtrA_00002", "label": 3, "start_frame": 0, "end_frame": 97}]',
    fits=fits,
    entries=each_row(_entry),
    classes=lambda _found, _reading: tuple(map(str, range(48))),
)
