"""Lists with commas (RFC 4180): a header with the names of the columns, then one row for each source."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry, ListOptions, Row, is_video, refuse_unreadable
from vfm.video2token.sources.table import entries


def read(path: Path, options: ListOptions, *, delimiter: str = ",") -> Iterator[Entry]:
    """Yield the rows of a list.

    Args:
        path: absolute.
        options: how lists are read.
        delimiter: what stands between cells.

    Raises:
        UsageError: it is not such a list; the sentence names the line.
        MachineError: it may not be read.
    """
    kind = path.suffix[1:].upper()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True, delimiter=delimiter)
            header = next(lines, [])
            _refuse_no_header(header, path=path)
            placed = ((f"{path} line {lines.line_num}", cells) for cells in lines if cells)
            rows = _rows(placed, header=header)
            yield from entries(path, header, rows, options=options, header_at=f"{path} line 1")
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{path} is not a {kind} file in UTF-8 ({error}): re-save it as UTF-8 {kind}."
        ) from None
    except PermissionError as error:
        refuse_unreadable(error)


def _rows(placed: Iterable[tuple[str, list[str]]], *, header: list[str]) -> Iterator[Row]:
    for where, cells in placed:
        if len(cells) != len(header):
            raise UsageError(f"{where} has {len(cells)} cells, its header {len(header)}: fix it.")
        yield Row(where=where, cells=dict(zip(header, cells, strict=True)))


def _refuse_no_header(header: list[str], *, path: Path) -> None:
    """Refuse a first line that is a row already, as in the lists of VideoMAE and UMT."""
    if len(set(header)) < len(header):
        raise UsageError(f"{path} line 1 has a column twice: name each once.")
    first = header[0].split() if header else []
    if first and is_video(first[0]):
        raise UsageError(
            f"{path} line 1 names a video and should name the columns: put a line such as path,label before "
            "it, or call the file .txt when it is made of lines `path label`."
        )
