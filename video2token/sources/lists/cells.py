"""Single cells of a list: texts, times in seconds, keys and paths; a wrong one is told in one sentence."""

import math
import re

from vfm.shards.errors import UsageError
from vfm.shards.format.keys import check_key
from vfm.video2token.sources.lists.list_file import Row

_CLOCK = re.compile(r"(?:([0-9]{1,6}):)?([0-9]{1,6}):([0-9]{1,2})(?:\.([0-9]*))?")
SEPARATOR = "|"  # between several labels or captions in one cell of text


def text_of(value: object, *, where: str, column: str) -> str | None:
    """Return a cell that holds one text; an integer is taken for its digits, blank for None."""
    text = path_of(value, where=where, column=column)
    return None if text is None else text.strip()


def row_texts(row: Row, *columns: str) -> tuple[str | None, ...]:
    """Return the cells of some columns of a row, each as `text_of`."""
    return tuple(text_of(row.cells.get(name), where=row.where, column=name) for name in columns)


def only(text: str | None) -> tuple[str, ...]:
    """Return a text as the only one of an entry's labels or captions; none where it is unknown or empty."""
    return (text,) if text else ()


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
    """Return a cell that holds a time, seconds or ``hh:mm:ss`` or ``mm:ss``, in seconds; blank for None."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError  # noqa: TRY301, TRY004
        seconds = _of_clock(value) if isinstance(value, str) and ":" in value else float(value)
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(
            f"{where}: {column} is {_told(value)}: write seconds from the video's first frame, or hh:mm:ss."
        )
    return seconds


def times_of(row: Row, start: str, end: str) -> tuple[float | None, float | None]:
    """Return the times of a segment in two cells of a row, as ``seconds_of``."""
    start_s, end_s = (seconds_of(row.cells.get(name), where=row.where, column=name) for name in (start, end))
    return start_s, end_s


def _of_clock(text: str) -> float:
    """Return ``hh:mm:ss`` or ``mm:ss`` in seconds, the number nearest to what is written."""
    cut = _CLOCK.fullmatch(text.strip())
    if cut is None:
        raise ValueError
    hours, minutes, seconds, decimals = cut.groups()
    # As a text, because a sum of minutes and decimals would be rounded twice.
    return float(f"{int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)}.{decimals or 0}")


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
