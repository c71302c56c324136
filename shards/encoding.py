"""What is said of text that is not UTF-8: nothing is guessed and nothing replaced."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from vfm.shards.errors import UsageError

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def decode_utf8(data: bytes, *, name: str) -> str:
    """Return a text without its byte order mark.

    Raises:
        UsageError: it is not UTF-8, or has zero bytes; ``name`` says whose text it is.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        refuse_encoding(io.BytesIO(data), name=name)
    if has_zero(text):
        refuse_encoding(io.BytesIO(data), name=name)
    return text


def has_zero(text: str) -> bool:
    """Return whether a text has zero bytes, by which UTF-16 without a mark can pass for UTF-8."""
    return "\0" in text


def refuse_file(path: Path) -> NoReturn:
    """Refuse a file that could not be read as UTF-8, or has zero bytes.

    Raises:
        UsageError: always; names the line.
    """
    with path.open("rb") as file:
        refuse_encoding(file, name=str(path))


def refuse_encoding(lines: Iterable[bytes], *, name: str) -> NoReturn:
    """Refuse a text that could not be read as UTF-8, or has zero bytes.

    Args:
        lines: of the text, from the first; no more are read than are needed.
        name: says whose text it is.

    Raises:
        UsageError: always; names the line.
    """
    remedy, where = "", "its end"
    for number, line in enumerate(lines, 1):
        at = _fault(line)
        if at is not None:
            kind = _kind(line)
            remedy = f", as with iconv -f {kind} -t UTF-8" if kind else ""
            where = f"line {number}, byte 0x{line[at]:02x}"
            break
    raise UsageError(f"{name} is not UTF-8 text ({where}): re-save it as UTF-8{remedy}.")


def _fault(line: bytes) -> int | None:
    """Return where in a line the first byte is that no text in UTF-8 has; None where there is none."""
    try:
        line.decode()
        faults = []
    except UnicodeDecodeError as error:
        faults = [error.start]
    return min([*faults, *([line.index(0)] if 0 in line else [])], default=None)


def _kind(line: bytes) -> str:
    """Return the encoding that a line seems to be in, as iconv calls it; empty where it seems to be none."""
    if line.startswith(_UTF16_MARKS):
        return "UTF-16"
    if 0 not in line:
        return "LATIN1"
    if line.count(0) * 3 < len(line):  # a zero byte that has got into a text
        return ""
    return "UTF-16LE" if line.index(0) % 2 else "UTF-16BE"
