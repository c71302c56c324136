"""Charades: a CSV with ``id`` and ``actions``, such as ``c092 11.90 21.20;c147 0.00 12.60``.

Each action is a segment with the label ``cNNN``, whose index is the number; ``Charades_v1_classes.txt`` has
the names. Source: the files published with Charades (Sigurdsson et al. 2016, arXiv:1604.01753).
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import row_texts, seconds_of
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading
from vfm.video2token.sources.lists.video_finder import Times

_ACTION = re.compile(r"(c\d{3}) (\S+) (\S+)")
CLASSES = tuple(f"c{number:03d}" for number in range(157))


def fits(found: ListFile) -> bool:
    """Return whether the columns are those of Charades."""
    return found.has("id", "actions", "length")


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the actions of each video, those of one segment together; a video without any is whole."""
    for row in found.rows():
        video_id, actions = row_texts(row, "id", "actions")
        segments = _segments(actions or "", row=row)
        for times_s, labels in segments.items():
            yield replace(
                reading.videos.by_id(video_id, where=row.where, times_s=times_s), labels=tuple(labels)
            )


def _segments(actions: str, *, row: Row) -> dict[Times, list[str]]:
    segments: dict[Times, list[str]] = {}
    for action in filter(None, (each.strip() for each in actions.split(";"))):
        cut = _ACTION.fullmatch(action)
        if cut is None or cut[1] not in CLASSES:
            raise UsageError(f"{row.where}: {action!r} is not an action such as c092 11.90 21.20: fix it.")
        start_s, end_s = (seconds_of(cut[place], where=row.where, column="actions") for place in (2, 3))
        labels = segments.setdefault((start_s, end_s), [])
        if cut[1] not in labels:
            labels.append(cut[1])
    return segments or {(None, None): []}


FORMAT = Format(
    title="Charades' list",
    example="id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
    '46GP8,HR43,Kitchen,6,7,Yes,"A person cooks.",food,"A person cooks.",c092 11.90 21.20,24.83',
    fits=fits,
    entries=entries,
    classes=lambda _found, _reading: CLASSES,
)
