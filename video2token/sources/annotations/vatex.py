"""VATEX: JSON objects with ``videoID``, such as ``Ptf_2VRj-V0_000122_000132``, and ``enCap``, ten sentences.

The Chinese sentences in ``chCap`` are left unread. Source: the files published with VATEX (Wang et al. 2019,
ICCV, arXiv:1904.03493).
"""

import re
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import text_of, texts_of
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format, each_row
from vfm.video2token.sources.lists.reading import Reading

_ID = re.compile(r"(.+)_(\d{6})_(\d{6})")


def fits(found: ListFile) -> bool:
    """Return whether the entries have an id, and captions or times in it."""
    return found.has("videoid", "encap") or set(found.columns) == {"videoid"}


def _entry(row: Row, reading: Reading) -> Entry:
    video_id = text_of(row.cells.get("videoid"), where=row.where, column="videoID")
    cut = _ID.fullmatch(video_id or "")
    if cut is None:
        raise UsageError(
            f"{row.where}: videoID is {video_id!r}, not ID_START_END with six digits each: fix it."
        )
    times_s = (float(cut[2]), float(cut[3]))
    captions = texts_of(row.cells.get("encap"), where=row.where, column="enCap", is_many=False)
    return replace(reading.videos.by_id(cut[1], where=row.where, times_s=times_s), captions=captions)


FORMAT = Format(
    title="VATEX' captions",
    example='[{"videoID": "Ptf_2VRj-V0_000122_000132",\n'
    '  "enCap": ["A boy is trying to clean a window."], "chCap": ["…"]}]',
    fits=fits,
    entries=each_row(_entry),
)
