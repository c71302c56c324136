"""Single cells of a list: texts, times in seconds, keys and paths; a wrong one is told in one sentence."""

import math
import os.path

from vfm.shards.errors import UsageError
from vfm.shards.format.keys import check_key
from vfm.video2token.sources.entry import is_remote, refuse_remote

SEPARATOR = "|"  # between several labels or captions in one cell of text


def locate(named: str | None, *, root: str, where: str) -> tuple[str, str]:
    """Return the absolute path of a file that a list names, and its name relative to the root.

    No sample may record where a disk is mounted, so a path outside the root gets ``..`` in its name.
    """
    if not named or "\x00" in named:
        raise UsageError(f"{where} has no usable path: name a video there, or delete it.")
    if is_remote(named):
        refuse_remote(where)
    name = os.path.normpath(named)
    file = os.path.normpath(os.path.join(root, name))  # noqa: PTH118 (a Path costs ten times as much)
    is_plain = not name.startswith(("/", ".."))
    return file, name if is_plain else os.path.relpath(file, root)


def text_of(value: object, *, where: str, column: str) -> str | None:
    """Return a cell that holds one text; an integer is taken for its digits, blank for None."""
    text = path_of(value, where=where, column=column)
    return None if text is None else text.strip()


def path_of(value: object, *, where: str, column: str) -> str | None:
    """Return a cell that holds a path, with the spaces around it, which belong to the file's name."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(f"{where}: {column} is {_told(value)}: write a text there.")
    text = str(value)
    return text if text.strip() else None


def texts_of(value: object, *, where: str, column: str, is_many: bool) -> tuple[str, ...]:
    """Return a cell that holds any number of texts.

    Args:
        value: a text, an integer, or a list of them.
        where: the row.
        column: the cell.
        is_many: whether a text is several with ``|`` between them.
    """
    if isinstance(value, str) and is_many:
        value = value.split(SEPARATOR)
    items = value if isinstance(value, list) else [value]
    texts = (text_of(item, where=where, column=column) for item in items)
    return tuple(text for text in texts if text is not None)


def seconds_of(value: object, *, where: str, column: str) -> float | None:
    """Return a cell that holds a time in seconds, blank for None."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError  # noqa: TRY301, TRY004
        seconds = float(value)
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(f"{where}: {column} is {_told(value)}: write seconds from the video's first frame.")
    return seconds


def check_segment(start_s: float | None, end_s: float | None, *, where: str) -> None:
    """Refuse a segment that ends before it begins.

    Raises:
        UsageError: it does.
    """
    if end_s is not None and end_s <= (start_s or 0.0):
        raise UsageError(
            f"{where}: the segment from {start_s or 0.0:g} to {end_s:g} s has no length: let it end later."
        )


def key_of(value: object, *, where: str, column: str) -> str | None:
    """Return a cell that holds a key, blank for None."""
    key = text_of(value, where=where, column=column)
    try:
        return None if key is None else check_key(key)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _told(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 40 else f"{told[:40]}…"
