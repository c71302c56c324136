"""One file per published format of lists, named after its data set; each has a ``FORMAT``."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pkgutil import iter_modules

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.list_file import ListFile
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
    """

    title: str
    example: str
    fits: Callable[[ListFile], bool]
    entries: Callable[[ListFile, Reading], Iterator[Entry]]
    is_common: bool = False
    classes: Callable[[ListFile], tuple[str, ...]] = lambda _found: ()
    labels: tuple[str, ...] = ()


def names() -> list[str]:
    """Return the names of the formats, as ``--format`` takes them."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def load(name: str) -> Format:
    """Return a format by its name."""
    found: Format = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").FORMAT
    return found
