"""UCF101: ``trainlist0N.txt`` with lines ``Class/v_Class_gNN_cNN.avi 1``, ``testlist0N.txt`` without numbers.

The folder is the class; the numbers of ``classInd.txt``, which is read where it lies beside the list, count
from 1. Source: the files published with UCF101 (Soomro et al. 2012, arXiv:1212.0402).
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.classes import ClassList, read_classes
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.list_file import Line, ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

_LINE = re.compile(r"(?P<path>(?P<name>\w+)/v_\w+_g\d\d_c\d\d\.avi)(?:\s+(?P<number>\d+))?")
_CLASSES = "classInd.txt"


def fits(found: ListFile) -> bool:
    """Return whether the lines are UCF101's; numbers that do not begin at 1 are another tool's."""
    if not found.has_lines(_LINE):
        return False
    cuts = (_LINE.fullmatch(line.text) for line in found.lines())
    numbers = [int(cut["number"]) for cut in cuts if cut and cut["number"]]
    return not numbers or min(numbers) == 1


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos, each of the class that its folder is called.

    Raises:
        UsageError: a line of another shape, or a number that is another class's.
    """
    known = reading.options.classes or _classes_beside(found)
    if known is not None and reading.options.classes is None:
        reading.say(f"the order of the classes is that of {_CLASSES}, which lies beside the list.")
    numbers: dict[str, int] = {}
    for line in found.lines():
        entry = _entry(line, reading=reading)
        (name,) = entry.labels
        index = known.names.index(name) if known and name in known.names else None
        index = entry.class_index if index is None else index
        if index is not None and entry.class_index not in (None, index):
            _refuse_number(line, name=name, index=index)
        if index is not None and numbers.setdefault(name, index) != index:
            _refuse_number(line, name=name, index=numbers[name])
        yield replace(entry, class_index=index)


def classes(found: ListFile, _reading: Reading) -> tuple[str, ...]:
    """Return the names in ``classInd.txt`` beside the list, in their order; empty where there is none."""
    beside = _classes_beside(found)
    return () if beside is None else beside.names


def _classes_beside(found: ListFile) -> ClassList | None:
    path = found.path.with_name(_CLASSES)
    return read_classes(path) if path.is_file() else None


def _entry(line: Line, *, reading: Reading) -> Entry:
    cut = line.cut(_LINE, expected="`Class/v_Class_gNN_cNN.avi` with a number or without")
    index = None if cut["number"] is None else int(cut["number"]) - 1
    if index == -1:
        raise UsageError(
            f"{line.where} has the number 0, and UCF101's classes count from 1: choose another --format."
        )
    entry = reading.videos.named(cut["path"], where=line.where)
    return replace(entry, labels=(cut["name"],), class_index=index)


def _refuse_number(line: Line, *, name: str, index: int) -> None:
    raise UsageError(
        f"{line.where} gives the class {name} another number than {index + 1}, which it has elsewhere: use "
        "the lists and the classInd.txt of one release."
    )


FORMAT = Format(
    title="UCF101's trainlist or testlist",
    example="ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\nApplyLipstick/v_ApplyLipstick_g08_c01.avi 2",
    fits=fits,
    entries=entries,
    classes=classes,
)
