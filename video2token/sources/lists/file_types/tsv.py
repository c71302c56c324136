"""Lists with tabs."""

from pathlib import Path

from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.text_list import read_text


def read(path: Path) -> ListFile:
    """Return the list; errors as in ``read_text``."""
    return read_text(path, delimiters="\t")
