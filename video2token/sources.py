"""From what the user names (folders, files, CSV lists) to the sources of a plan; no video is opened here."""

import csv
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, NoReturn

from vfm.shards.errors import MachineError, UsageError
from vfm.shards.keys import derive_key
from vfm.shards.plan import Source

Missing = Literal["error", "quarantine"]

VIDEO_SUFFIXES = frozenset(
    (
        ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264",
        ".h265", ".hevc", ".ivf", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
        ".mxf", ".obu", ".ogm", ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
    )
)  # fmt: skip
_OTHER_LISTS = frozenset((".json", ".jsonl", ".lst", ".parquet", ".tar", ".tsv", ".txt"))
_COLUMNS = ("path", "label", "split", "caption", "key")
_NUM_NAMED = 3  # how many of many faults a sentence names


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One video as it was named, before its key is known."""

    path: Path
    name: PurePosixPath  # relative to the input it came with
    label: str | None = None
    split: str | None = None
    caption: str | None = None
    key: str | None = None


def list_sources(inputs: Sequence[Path], *, missing: Missing) -> list[Source]:
    """Return the sources behind ``inputs``, in the order they are named.

    A folder is searched through all its folders for files with the suffix of a video; hidden files and
    folders are left out, links to folders are not followed, links to files are. A file is a source whatever
    it is called. A ``.csv`` file is a list: a header with ``path`` and any of ``label``, ``split``,
    ``caption``, ``key``, and paths relative to the list's folder.

    The identity of a source is its path relative to the folder given, or its path as the list writes it;
    with several inputs that begins with the name of the input, and with as many of its parents as it takes
    to tell the inputs apart.

    Args:
        inputs: what the user named.
        missing: whether a list that names missing files is an error, or each is a source without a size.

    Raises:
        UsageError: no such path, nothing found, a list that cannot be understood, one file named twice.
        MachineError: a folder or list that may not be read.
    """
    roots = [Path(os.path.abspath(path)) for path in inputs]  # noqa: PTH100 (resolve would follow links)
    sources: list[Source] = []
    for root, prefix in zip(roots, _prefixes(roots), strict=True):
        entries = list(_entries(root))
        if not entries:
            raise UsageError(f"{root} holds no video: name a folder with some, or a list of them.")
        sources += [_source(entry, prefix=prefix, is_file=entry.path == root) for entry in entries]
    _refuse_twice(sources)
    if missing == "error":
        _refuse_missing(sources)
    return sources


def _prefixes(roots: Sequence[Path]) -> list[PurePosixPath]:
    """Return the shortest ends of the roots that differ, all of one length; nothing for a single root."""
    if len(set(roots)) < len(roots):
        twice = next(root for root, count in Counter(roots).items() if count > 1)
        raise UsageError(f"{twice} is named twice: name it once.")
    if len(roots) == 1:
        return [PurePosixPath()]
    for length in range(1, max(len(root.parts) for root in roots) + 1):
        ends = [PurePosixPath(*root.parts[1:][-length:]) for root in roots]
        if len(set(ends)) == len(roots):
            return ends
    return [PurePosixPath(*root.parts[1:]) for root in roots]


def _entries(root: Path) -> Iterator[_Entry]:
    if root.is_dir():
        return _walk(root)
    if not os.path.lexists(root):
        raise UsageError(f"There is no {root}: name a folder, a video or a CSV list that exists.")
    if not root.is_file():
        raise UsageError(f"{root} is neither a file nor a folder: name a folder, a video or a CSV list.")
    if root.suffix.lower() == ".csv":
        return _read_list(root)
    if root.suffix.lower() in _OTHER_LISTS:
        raise UsageError(f"{root} is no video: lists are CSV files with a header and a column named path.")
    return iter([_Entry(path=root, name=PurePosixPath(root.name))])


def _walk(root: Path) -> Iterator[_Entry]:
    """Yield the videos under a folder in the order of their names."""
    for folder, folders, names in os.walk(root, onerror=_refuse_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                path = Path(folder, name)
                yield _Entry(path=path, name=PurePosixPath(path.relative_to(root)))


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise MachineError(
        f"{error.filename} cannot be read ({error.strerror}): change its mode, or name other folders."
    ) from error


def _read_list(path: Path) -> Iterator[_Entry]:
    """Yield the rows of a CSV list."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(rows, [])]
            _check_header(header, path=path)
            for row in rows:
                if row:
                    yield _entry_of(row, header=header, path=path, line=rows.line_num)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is no CSV file in UTF-8 ({error}): write it anew as such.") from None
    except PermissionError as error:
        _refuse_unreadable(error)


def _check_header(header: Sequence[str], *, path: Path) -> None:
    strange = [name for name in header if name not in _COLUMNS]
    if "path" not in header or strange or len(set(header)) < len(header):
        told = f"an unknown column {strange[0]!r}" if strange else "no column path, or one twice"
        raise UsageError(
            f"{path} has {told} in its first line: start it with the names of its columns, path and any of "
            "label, split, caption, key."
        )


def _entry_of(row: Sequence[str], *, header: Sequence[str], path: Path, line: int) -> _Entry:
    if len(row) != len(header):
        raise UsageError(f"{path} line {line} has {len(row)} cells, its header {len(header)}: mend it.")
    # A path is taken as it stands: file names may begin and end with spaces.
    cells = {
        name: (cell if name == "path" else cell.strip()) or None
        for name, cell in zip(header, row, strict=True)
    }
    named = cells.pop("path")
    if named is None or "\x00" in named:
        raise UsageError(f"{path} line {line} has no usable path: name a video there, or delete the line.")
    video = Path(os.path.normpath(path.parent / named))
    return _Entry(path=video, name=_name_in_list(video, root=path.parent), **cells)


def _name_in_list(video: Path, *, root: Path) -> PurePosixPath:
    """Return a listed path relative to its list, so that no sample records where a disk is mounted."""
    if video.is_relative_to(root):
        return PurePosixPath(video.relative_to(root))
    return PurePosixPath(os.path.relpath(video, root))


def _source(entry: _Entry, *, prefix: PurePosixPath, is_file: bool) -> Source:
    # With several inputs a file's own prefix is its whole name already.
    identity = str(prefix if is_file and prefix.parts else prefix / entry.name)
    size_bytes, mtime_ns = _size_and_time(entry.path)
    return Source(
        key=entry.key or derive_key(identity),
        identity=identity,
        path=str(entry.path),
        labels=() if entry.label is None else (entry.label,),
        captions=() if entry.caption is None else (entry.caption,),
        split=entry.split,
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
    )


def _size_and_time(path: Path) -> tuple[int, int]:
    """Return size and time of a regular file; (-1, 0) for anything else, which reading will reject."""
    try:
        status = path.stat()
    except OSError:
        return -1, 0
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else (-1, 0)


def _refuse_twice(sources: Sequence[Source]) -> None:
    counts = Counter(source.path for source in sources)
    if twice := [path for path, count in counts.items() if count > 1]:
        raise UsageError(f"{_named(twice)} named more than once: name each video once.")


def _refuse_missing(sources: Sequence[Source]) -> None:
    if missing := [source.path for source in sources if not os.path.lexists(source.path)]:
        raise UsageError(
            f"{_named(missing)} missing, {len(missing)} of {len(sources)}: correct the list, or use "
            "--missing quarantine to go on without them."
        )


def _named(paths: Sequence[str]) -> str:
    """Return the first few of many paths, with the verb."""
    more = len(paths) - _NUM_NAMED
    named = ", ".join(paths[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{named} {'is' if len(paths) == 1 else 'are'}"
