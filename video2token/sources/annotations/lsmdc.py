"""LSMDC: lines with tabs, though called .csv: the clip, four times in the film, and the sentence.

The clips are cut already, so the times are left unread. The blind test's list has no sentences. Source: the
files published with LSMDC 2016 (Rohrbach et al. 2017, IJCV, arXiv:1605.03705).
"""

import re
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.list_file import Line, ListFile
from vfm.video2token.sources.lists.list_format import Format, each_line
from vfm.video2token.sources.lists.reading import Reading

_TIME = r"\d\d\.\d\d\.\d\d\.\d{3}"
_LINE = re.compile(rf"(?P<clip>(?P<film>\d{{4}}_[^\t]+)_{_TIME}-{_TIME})\t(?:[^\t]*\t)*(?P<sentence>[^\t]*)")


def fits(found: ListFile) -> bool:
    """Return whether the lines begin with the name of one of LSMDC's clips."""
    return found.has_lines(_LINE)


def _entry(line: Line, reading: Reading) -> Entry:
    cut = line.cut(_LINE, expected="a clip of LSMDC and cells behind tabs")
    entry = reading.videos.by_id(cut["clip"], where=line.where, folders=(cut["film"],))
    sentence = cut["sentence"].strip()
    has_sentence = sentence and not re.fullmatch(_TIME, sentence)
    return replace(entry, captions=(sentence,) if has_sentence else ())


FORMAT = Format(
    title="LSMDC's list",
    example="1004_Juno_00.00.32.343-00.00.35.546\\t00.00.32.343\\t…\\tSOMEONE looks, then walks.\n"
    "1004_Juno_00.01.32.343-00.01.35.546\\t00.01.32.343\\t…\\tShe sits.",
    fits=fits,
    entries=each_line(_entry),
)
