"""InternVid: ``YoutubeID``, ``Start_timestamp`` and ``End_timestamp`` as hh:mm:ss, and ``Caption``.

Source: the files published with InternVid (Wang et al. 2023, arXiv:2307.06942).
"""

from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, row_texts, times_of
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format, each_row
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the fields are those of InternVid."""
    return found.has("youtubeid", "start_timestamp", "end_timestamp", "caption")


def _entry(row: Row, reading: Reading) -> Entry:
    video_id, caption = row_texts(row, "youtubeid", "caption")
    times_s = times_of(row, "start_timestamp", "end_timestamp")
    entry = reading.videos.by_id(video_id, where=row.where, times_s=times_s)
    return replace(entry, captions=only(caption))


FORMAT = Format(
    title="InternVid's list",
    example='{"YoutubeID": "6iBNXAm5N-w", "Start_timestamp": "00:00:01.227",\n'
    ' "End_timestamp": "00:00:03.000", "Caption": "a person in a kitchen", "UMT_Score": 0.41}',
    fits=fits,
    entries=each_row(_entry),
)
