"""HMDB51: ``CLASS_test_splitN.txt`` with lines ``NAME.avi 1``: 1 is train, 2 is test, 0 is in neither.

Source: the split files published with HMDB51 (Kuehne et al. 2011, ICCV).
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.list_file import Line, ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

_FILE = re.compile(r"(?P<name>\w+?)_test_split\d\.txt")
_LINE = re.compile(r"(?P<path>.+\.avi)\s+(?P<part>[012])")
_SPLITS = {"1": "train", "2": "test", "0": None}


def fits(found: ListFile) -> bool:
    """Return whether the name and the lines are those of a split file."""
    named = _FILE.fullmatch(found.path.name)
    return named is not None and found.has_lines(_LINE)


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos of the class that the file is named after, from the root or its folder of the class.

    Raises:
        UsageError: the file's name has no class, or a line is of another shape.
    """
    named = _FILE.fullmatch(found.path.name)
    if named is None:
        raise UsageError(f"{found.path} is not called CLASS_test_splitN.txt: give it HMDB51's name again.")
    for line in found.lines():
        yield _entry(line, name=named["name"], reading=reading)


def _entry(line: Line, *, name: str, reading: Reading) -> Entry:
    cut = line.cut(_LINE, expected="a video and 0, 1 or 2")
    entry = reading.videos.by_id(cut["path"], where=line.where, folders=(name,))
    split = _SPLITS[cut["part"]]
    left_out = "" if split else "0 in HMDB51's split, neither train nor test"
    return replace(entry, labels=(name,), split=split, left_out=left_out)


FORMAT = Format(
    title="HMDB51's split",
    example="April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1\nbrushing_hair_brush_hair_f_nm_np2_ba_goo_2.avi 2",
    fits=fits,
    entries=entries,
)
