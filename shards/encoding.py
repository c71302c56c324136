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
        UsageError: it is not UTF-8; ``name`` says whose text it is.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        refuse_encoding(io.BytesIO(data), name=name)


def refuse_file(path: Path) -> NoReturn:
    """Refuse a file that could not be read as UTF-8.

    Raises:
        UsageError: always; names the line.
    """
    with path.open("rb") as file:
        refuse_encoding(file, name=str(path))


def refuse_encoding(lines: Iterable[bytes], *, name: str) -> NoReturn:
    """Refuse a text that could not be read as UTF-8.

    Args:
        lines: of the text, from the first; no more are read than are needed.
        name: says whose text it is.

    Raises:
        UsageError: always; names the line.
    """
    kind, where = "LATIN1", "its end"
    for number, line in enumerate(lines, 1):
        if number == 1 and line.startswith(_UTF16_MARKS):
            kind = "UTF-16"
        try:
            line.decode()
        except UnicodeDecodeError as error:
            where = f"line {number}, byte 0x{line[error.start]:02x}"
            break
    raise UsageError(
        f"{name} is not UTF-8 text ({where}): re-save it as UTF-8, as with iconv -f {kind} -t UTF-8."
    )
