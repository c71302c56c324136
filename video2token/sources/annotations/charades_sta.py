"""Charades-STA: lines ``ID START END##sentence``, a segment with a caption each.

Source: the files published with Charades-STA (Gao et al. 2017, ICCV, arXiv:1705.02101).
"""

import re
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, seconds_of
from vfm.video2token.sources.lists.list_file import Line, ListFile
from vfm.video2token.sources.lists.list_format import Format, each_line
from vfm.video2token.sources.lists.reading import Reading

_LINE = re.compile(r"(?P<id>\S+) (?P<start>\S+) (?P<end>\S+)\s*##\s*(?P<sentence>.*)")


def fits(found: ListFile) -> bool:
    """Return whether the lines have two times and a sentence behind ``##``."""
    return found.has_lines(_LINE)


def _entry(line: Line, reading: Reading) -> Entry:
    cut = line.cut(_LINE, expected="`ID START END##sentence`")
    start_s, end_s = (seconds_of(cut[name], where=line.where, column=name) for name in ("start", "end"))
    entry = reading.videos.by_id(cut["id"], where=line.where, times_s=(start_s, end_s))
    return replace(entry, captions=only(cut["sentence"].strip()))


FORMAT = Format(
    title="Charades-STA's list",
    example="AO8RW 0.0 6.9##a person is putting a book on a shelf.\nY6R7T 20.8 30.0##person begins to play.",
    fits=fits,
    entries=each_line(_entry),
)
