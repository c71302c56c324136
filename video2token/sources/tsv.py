"""Lists with tabs: as ``csv.py``, one tab between cells."""

from collections.abc import Iterator
from pathlib import Path

from vfm.video2token.sources import csv
from vfm.video2token.sources._base import Entry, ListOptions


def read(path: Path, options: ListOptions) -> Iterator[Entry]:
    """Yield the rows of a list; errors as in ``csv.read``."""
    return csv.read(path, options, delimiter="\t")
