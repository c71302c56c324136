"""ActivityNet v1.3: ``{"database": {ID: {"subset", "annotations": [{"segment", "label"}]}}}``.

Each annotation is a segment with a label; a video without, as those of the test split, is whole and has none.
Source: the file published with ActivityNet 200 (Heilbron et al. 2015, CVPR).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import seconds_of, text_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading
from vfm.video2token.sources.lists.video_finder import Times


def fits(found: ListFile) -> bool:
    """Return whether the file has ActivityNet's database."""
    return isinstance(found.value, dict) and isinstance(found.value.get("database"), dict)


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the annotated segments of each video.

    Raises:
        UsageError: it is not of this shape; the sentence names the video.
    """
    database = found.value.get("database") if isinstance(found.value, dict) else None
    if not isinstance(database, dict):
        raise UsageError(f"{found.path} has no object `database`: give the file of ActivityNet v1.3.")
    for video_id, facts in database.items():
        where = f"{found.path} video {video_id}"
        if not isinstance(facts, Mapping) or not isinstance(facts.get("annotations", []), list):
            raise UsageError(
                f"{where} is not an object with a list of annotations: write it as ActivityNet does."
            )
        split = text_of(facts.get("subset"), where=where, column="subset")
        for times_s, labels in _segments(facts, where=where).items():
            entry = reading.videos.by_id(video_id, where=where, times_s=times_s)
            yield replace(entry, labels=tuple(dict.fromkeys(labels)), split=split)


def _segments(facts: Mapping[str, Any], *, where: str) -> dict[Times, list[str]]:
    segments: dict[Times, list[str]] = {}
    for annotation in facts.get("annotations", []):
        times, label = _annotation(annotation, where=where)
        segments.setdefault(times, []).append(label)
    return segments or {(None, None): []}


def _annotation(annotation: object, *, where: str) -> tuple[Times, str]:
    segment = annotation.get("segment") if isinstance(annotation, Mapping) else None
    label = annotation.get("label") if isinstance(annotation, Mapping) else None
    if not isinstance(segment, list) or len(segment) != 2 or not isinstance(label, str):
        raise UsageError(f"{where} has an annotation without a label or a segment of two times: fix it.")
    start_s, end_s = (seconds_of(time, where=where, column="segment") for time in segment)
    return (start_s, end_s), label


FORMAT = Format(
    title="ActivityNet's annotations",
    example='{"database": {"sJQCchGzGkU": {"duration": 8.0, "subset": "training",\n'
    '  "annotations": [{"segment": [0.83, 3.0], "label": "Archery"}]}}}',
    fits=fits,
    entries=entries,
)
