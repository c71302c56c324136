"""Lists with tabs: as ``csv.py``, one tab between cells."""

from collections.abc import Iterator
from pathlib import Path

from vfm.video2token.sources.entry import Entry, ListOptions
from vfm.video2token.sources.formats import csv


def read(path: Path, options: ListOptions) -> Iterator[Entry]:
    """Yield the rows of a list; errors as in ``csv.read``."""
    return csv.read(path, options, delimiter="\t")
