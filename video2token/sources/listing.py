"""From what the user names (folders, patterns, files, lists, tars) to the sources of a plan.

No video is opened here. A kind of list is a file of ``formats``: its name is the suffix, and its function
``read(path, options)`` yields entries.
"""

import importlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from vfm.shards.errors import UsageError
from vfm.shards.format.keys import derive_key
from vfm.shards.format.plan import Source
from vfm.shards.wording import listed
from vfm.video2token.sources import formats
from vfm.video2token.sources.classes import class_list, name_labels, read_classes
from vfm.video2token.sources.entry import VIDEO_SUFFIXES, Entry, ListOptions
from vfm.video2token.sources.folders import refuse_empty, walk
from vfm.video2token.sources.inputs import Input, expand, read_input_list

__all__ = [
    "VIDEO_SUFFIXES",
    "ListOptions",
    "Missing",
    "list_sources",
    "read_classes",
    "read_input_list",
]

Missing = Literal["error", "quarantine"]

_NO_VIDEOS = frozenset(
    (".7z", ".bz2", ".gz", ".lst", ".ndjson", ".pkl", ".tgz", ".xlsx", ".xml", ".yaml", ".zip")
)
_NUM_NAMED = 3  # how many of many faults a sentence names
_DEFAULT = ListOptions()


def list_sources(
    inputs: Sequence[Path],
    *,
    missing: Missing,
    options: ListOptions = _DEFAULT,
    on_hidden: Callable[[str], None] = lambda _where: None,
) -> list[Source]:
    """Return the sources behind ``inputs``, in the order they are named.

    A folder is searched through all its folders for files with the suffix of a video; hidden files and
    folders are left out, links to folders are not followed, links to files are. A file with the suffix of a
    list is read as one; any other file is a source whatever it is called. A path with wildcards that does
    not exist is a pattern. ``docs/reference/sources.md`` describes every kind of list.

    The identity of a source is its path relative to the folder given, or to the root of the list that names
    it, or the name of its tar and its own in there; with several inputs that begins with the name of the
    input, and with as many of its parents as it takes to tell the inputs apart. The key of a segment is
    made from the identity and its times.

    Args:
        inputs: what the user named.
        missing: whether a list that names missing files is an error, or each is a source without a size.
        options: how lists are read.
        on_hidden: called with the path of each hidden video or folder that was left out.

    Raises:
        UsageError: no such path, nothing found, a list that cannot be understood, one source named twice.
        MachineError: a folder or list that may not be read.
    """
    sources: list[Source] = []
    read_as = frozenset(formats.names())
    for each in expand(inputs):
        found = list(_entries(each, options, read_as=read_as))
        hidden = [entry.where for entry in found if entry.is_hidden]
        seen = (entry for entry in found if not entry.is_hidden)
        entries = list(name_labels(seen, classes=class_list(options.classes)))
        if not entries:
            refuse_empty(each.path, num_hidden=len(hidden))
        for where in hidden:
            on_hidden(where)
        sources += _sources(entries, input_=each)
    _refuse_twice(sources)
    if missing == "error":
        _refuse_missing(sources)
    return sources


def _entries(given: Input, options: ListOptions, *, read_as: Collection[str]) -> Iterator[Entry]:
    path, suffix = given.path, given.path.suffix.lower()
    if path.is_dir():
        return walk(path)
    if not os.path.lexists(path):
        raise UsageError(f"{path} does not exist: name a folder, a video or a list.")
    if not given.is_matched and not path.is_file():
        raise UsageError(f"{path} is neither a file nor a folder: name a folder, a video or a list.")
    if suffix[1:] in read_as and path.is_file():  # a pattern may match a pipe, which would block
        entries: Iterator[Entry] = importlib.import_module(f"{formats.__name__}.{suffix[1:]}").read(
            path, options
        )
        return entries
    if suffix in _NO_VIDEOS:
        raise UsageError(
            f"{path} is neither a video nor a list that vfm can read ({', '.join(sorted(read_as))})."
        )
    return iter([Entry(path=str(path), name=path.name, where=str(path))])


def _sources(entries: Iterable[Entry], *, input_: Input) -> Iterator[Source]:
    """Yield the sources of one input's entries."""
    path, name = input_.path, input_.name
    if path.suffix.lower() == ".tar" and not name.parts:
        name = PurePosixPath(path.name)  # a video in a tar is never called as one beside it
    prefix = f"{name}/" if name.parts else ""
    for entry in entries:
        # A video that was named itself has its whole name there already.
        is_itself = bool(prefix) and entry.path == str(path) and entry.offset is None
        yield _source(entry, identity=str(name) if is_itself else prefix + entry.name)


def _source(entry: Entry, *, identity: str) -> Source:
    size_bytes, mtime_ns = _size_and_time(entry.path)
    return Source(
        key=entry.key or derive_key(_with_segment(identity, entry)),
        identity=identity,
        path=entry.path,
        labels=entry.labels,
        captions=entry.captions,
        split=entry.split,
        start_s=entry.start_s,
        end_s=entry.end_s,
        size_bytes=size_bytes if entry.size_bytes is None else entry.size_bytes,
        mtime_ns=mtime_ns,
        offset=entry.offset,
    )


def _with_segment(identity: str, entry: Entry) -> str:
    """Return what a key is made from: the identity, and the times of a segment before the suffix.

    A NUL goes before the times, because it can be in no file's name: no video's key is that of a segment.
    """
    if entry.start_s is None and entry.end_s is None:
        return identity
    stem, suffix = os.path.splitext(identity)  # noqa: PTH122 (takes names that a Path refuses)
    return f"{stem}\0{_seconds(entry.start_s or 0.0)}-{_seconds(entry.end_s)}{suffix}"


def _seconds(time_s: float | None) -> str:
    return "end" if time_s is None else repr(time_s).removesuffix(".0")


def _size_and_time(path: str) -> tuple[int, int]:
    """Return size and time of a regular file; (-1, 0) for anything else, which reading will reject."""
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path costs ten times as much)
    except (OSError, ValueError):
        return -1, 0
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else (-1, 0)


def _refuse_twice(sources: Sequence[Source]) -> None:
    counts = Counter((source.path, source.offset, source.start_s, source.end_s) for source in sources)
    if twice := [path for (path, *_), count in counts.items() if count > 1]:
        raise UsageError(
            f"{_named(twice)} named more than once: name each video or segment once, with all its labels and "
            "captions."
        )


def _refuse_missing(sources: Sequence[Source]) -> None:
    suspects = (source.path for source in sources if source.size_bytes < 0)
    if missing := [path for path in suspects if not os.path.lexists(path)]:
        raise UsageError(
            f"{_named(missing)} missing, {len(missing)} of {len(sources)}: correct the list, or use "
            "--missing quarantine to go on without them."
        )


def _named(paths: Sequence[str]) -> str:
    """Return the first few of many paths, with the verb."""
    return f"{listed(paths, limit=_NUM_NAMED)} {'is' if len(paths) == 1 else 'are'}"
