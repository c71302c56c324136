"""InternVid: ``YoutubeID``, ``Start_timestamp`` and ``End_timestamp`` as hh:mm:ss, and ``Caption``.

Source: the files published with InternVid (Wang et al. 2023, arXiv:2307.06942).
"""

from collections.abc import Iterator
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import text_of, times_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the fields are those of InternVid."""
    return found.has("youtubeid", "start_timestamp", "end_timestamp", "caption")


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the segments with their captions."""
    for row in found.rows():
        video_id, caption = (
            text_of(row.cells.get(name), where=row.where, column=name) for name in ("youtubeid", "caption")
        )
        times_s = times_of(row, "start_timestamp", "end_timestamp")
        entry = reading.videos.by_id(video_id, where=row.where, times_s=times_s)
        yield replace(entry, captions=() if caption is None else (caption,))


FORMAT = Format(
    title="InternVid's list",
    example='{"YoutubeID": "6iBNXAm5N-w", "Start_timestamp": "00:00:01.227",\n'
    ' "End_timestamp": "00:00:03.000", "Caption": "a person in a kitchen", "UMT_Score": 0.41}',
    fits=fits,
    entries=entries,
)
