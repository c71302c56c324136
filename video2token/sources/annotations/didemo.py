"""DiDeMo: JSON objects with ``video``, ``description`` and ``times``, the 5 s chunks that annotators chose.

The annotators of a description differ about its chunks, and retrieval takes the whole video with all its
descriptions, so that is the sample here; the chunks are left unread. Source: the files published with DiDeMo
(Hendricks et al. 2017, ICCV, arXiv:1708.01641).
"""

from collections.abc import Iterator
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import path_of, texts_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the entries have the fields of DiDeMo."""
    return found.has("video", "description", "times")


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield each video once for each of its descriptions."""
    reading.say("its times are left unread: a sample is a whole video with all its descriptions.")
    for row in found.rows():
        video = path_of(row.cells.get("video"), where=row.where, column="video")
        captions = texts_of(
            row.cells.get("description"), where=row.where, column="description", is_many=False
        )
        yield replace(reading.videos.by_id(video, where=row.where), captions=captions)


FORMAT = Format(
    title="DiDeMo's list",
    example='[{"video": "54322086@N00_2408598493_274c77d26a.avi", "description": "a dog runs into view",\n'
    '  "times": [[0, 0], [0, 1]], "annotation_id": 7, "num_segments": 6}]',
    fits=fits,
    entries=entries,
)
