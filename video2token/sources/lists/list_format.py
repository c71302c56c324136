"""What a format of lists is: the contract of ``annotations``."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.list_file import Line, ListFile, Row
from vfm.video2token.sources.lists.reading import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How the lists of one data set look, and what they mean.

    Attributes:
        title: what it is called in a sentence that begins "read as".
        example: two lines of such a list.
        fits: says whether a list looks like it.
        entries: yields the entries of such a list; raises UsageError where it is none, with the place.
        is_common: whether many write so, and no one data set: it is taken where no other fits.
        classes: gives all labels in their published order; empty where a list does not say it.
        labels: what ``--label`` may say, where entries have several kinds of label.
        joins_labels: whether rows of one segment that differ in their labels are one sample with all of them.
    """

    title: str
    example: str
    fits: Callable[[ListFile], bool]
    entries: Callable[[ListFile, Reading], Iterator[Entry]]
    is_common: bool = False
    classes: Callable[[ListFile, Reading], tuple[str, ...]] = lambda _found, _reading: ()
    labels: tuple[str, ...] = ()
    joins_labels: bool = False


def each_line(read: Callable[[Line, Reading], Entry]) -> Callable[[ListFile, Reading], Iterator[Entry]]:
    """Return the ``entries`` of a format each of whose lines is an entry."""
    return lambda found, reading: (read(line, reading) for line in found.lines())


def each_row(read: Callable[[Row, Reading], Entry]) -> Callable[[ListFile, Reading], Iterator[Entry]]:
    """Return the ``entries`` of a format each of whose rows is an entry."""
    return lambda found, reading: (read(row, reading) for row in found.rows())
