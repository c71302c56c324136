"""MSVD: lines ``ID_START_END sentence``, one for each caption, or the CSV of all languages, of which English.

Source: the files published with the Microsoft Research Video Description Corpus (Chen and Dolan 2011, ACL).
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, row_texts
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

_LINE = re.compile(r"(?P<id>\S{11}_\d+_\d+) (?P<sentence>.*[^\W\d].*)")
_COMMENT = "#"  # the published file begins with some lines of them


def fits(found: ListFile) -> bool:
    """Return whether the lines are a clip of MSVD and a sentence, or the columns those of its CSV."""
    lines = [line for line in found.head if not line.startswith(_COMMENT)]
    return _is_csv(found) or (bool(lines) and all(map(_LINE.fullmatch, lines)))


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield each clip once for each of its captions.

    Raises:
        UsageError: a line of another shape.
    """
    for where, video_id, sentence in _rows(found) if _is_csv(found) else _lines(found):
        entry = reading.videos.by_id(video_id, where=where)
        yield replace(entry, captions=only(sentence))


def _is_csv(found: ListFile) -> bool:
    return found.has("videoid", "start", "end", "language", "description")


def _lines(found: ListFile) -> Iterator[tuple[str, str, str | None]]:
    for line in found.lines():
        cut = _LINE.fullmatch(line.text)
        if cut is not None:
            yield line.where, cut["id"], cut["sentence"].strip()
        elif not line.text.startswith(_COMMENT):
            raise UsageError(f"{line.where} is not `ID_START_END sentence`: fix it.")


def _rows(found: ListFile) -> Iterator[tuple[str, str, str | None]]:
    for row in found.rows():
        video, start, end, language, sentence = row_texts(
            row, "videoid", "start", "end", "language", "description"
        )
        if language == "English":
            yield row.where, f"{video}_{start}_{end}", sentence


FORMAT = Format(
    title="MSVD's descriptions",
    example="mv89psg6zh4_33_46 A bird is bathing in a sink.\nmv89psg6zh4_33_46 A bird bathes.",
    fits=fits,
    entries=entries,
)
