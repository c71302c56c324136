"""HowTo100M: a CSV with ``video_id``, ``category_1``, ``category_2``, ``rank``, ``task_id``: whole videos.

``category_1`` is the label. The narrations are a file of their own, see ``howto100m_captions``. Source: the
files published with HowTo100M (Miech et al. 2019, ICCV, arXiv:1906.03327).
"""

from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, row_texts
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format, each_row
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the columns are those of HowTo100M."""
    return found.has("video_id", "category_1", "task_id")


def _entry(row: Row, reading: Reading) -> Entry:
    video_id, category = row_texts(row, "video_id", "category_1")
    return replace(reading.videos.by_id(video_id, where=row.where), labels=only(category))


FORMAT = Format(
    title="HowTo100M's list of videos",
    example="video_id,category_1,category_2,rank,task_id\n"
    "nVbIUDjzWY4,Cars & Other Vehicles,Motorcycles,27,52907",
    fits=fits,
    entries=each_row(_entry),
)
