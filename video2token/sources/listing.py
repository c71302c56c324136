"""From what the user names (folders, patterns, files, lists, tars) to the sources of a plan.

No video is opened here. A list is read by its type (``lists/file_types``, the suffix of its name) and by
whose it is (``annotations``).
"""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vfm.shards.errors import UsageError
from vfm.shards.format.keys import derive_key
from vfm.shards.format.plan import Source
from vfm.shards.splits import check_split
from vfm.shards.wording import listed
from vfm.video2token.sources.classes import name_labels
from vfm.video2token.sources.entry import ALONE, HIDDEN, VIDEO_SUFFIXES, Entry, is_image, is_video
from vfm.video2token.sources.folders import refuse_empty
from vfm.video2token.sources.input_read import InputRead, read_input
from vfm.video2token.sources.inputs import Input, expand, read_input_list
from vfm.video2token.sources.lists.reading import ListOptions
from vfm.video2token.sources.lists.video_finder import beside
from vfm.video2token.sources.published_order import class_order

__all__ = [
    "VIDEO_SUFFIXES",
    "ListOptions",
    "Listing",
    "Missing",
    "list_sources",
    "read_input_list",
    "refuse_absent",
]

Missing = Literal["error", "quarantine"]

_NUM_NAMED = 3  # how many of many faults a sentence names
_DEFAULT = ListOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The sources behind some inputs, and how they were understood.

    Attributes:
        sources: in the order they are named.
        classes: names of the classes in the order of their indexes, unused ones too.
        inputs: how each input was read.
    """

    sources: tuple[Source, ...]
    classes: tuple[str, ...] = ()
    inputs: tuple[InputRead, ...] = ()

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Places of what is no source, by the reason."""
        found: dict[str, list[str]] = {}
        for each in self.inputs:
            for reason, places in each.left_out.items():
                found.setdefault(reason, []).extend(places)
        return found

    @property
    def num_hidden(self) -> int:
        """How many hidden files and folders are left out."""
        return len(self.left_out.get(HIDDEN, ()))


def list_sources(
    inputs: Sequence[Path],
    *,
    missing: Missing,
    options: ListOptions = _DEFAULT,
    lists: Sequence[tuple[str, Path]] = (),
) -> Listing:
    """Return the sources behind ``inputs`` and ``lists``.

    A folder is searched through all its folders for files with the suffix of a video, or of an image where
    these are asked for; hidden files and
    folders are left out, links to folders are not followed, links to files are. A file with the suffix of a
    list is read as one; any other file is a source whatever it is called. A path with wildcards that does
    not exist is a pattern. ``docs/reference/sources.md`` describes every kind of list.

    The identity of a source is its path relative to the folder given, or to the root of the list that names
    it, or the name of its tar and its own in there; with several inputs that begins with the name of the
    input, and with as many of its parents as it takes to tell the inputs apart. The key of a segment is
    made from the identity and its times.

    Args:
        inputs: what the user named.
        missing: whether a list that names missing files or segments without length is an error, or each is
            a source that reading will reject.
        options: how lists are read.
        lists: more inputs, each behind the split that all its videos are of.

    Raises:
        UsageError: no such path, nothing found, a list that cannot be understood, one source named twice,
            whole videos asked for where no list names a segment, the first seconds of a segment; an image
            among videos, a video or a segment among images.
        MachineError: a folder or list that may not be read.
    """
    splits = [None] * len(inputs) + [check_split(split) for split, _ in lists]
    sources: list[Source] = []
    read: list[InputRead] = []
    for each in expand([*inputs, *(path for _, path in lists)]):
        how = read_input(each, options, split=splits[each.index])
        if not how.entries and ALONE not in how.left_out:
            num_hidden = len(how.left_out.get(HIDDEN, ()))
            refuse_empty(each.path, num_hidden=num_hidden, images=options.images)
        _refuse_other_kind(how.entries, images=options.images)
        named = name_labels(how.entries, classes=options.classes)
        sources += _sources(_cut(named, first_s=options.first_s), input_=each)
        read.append(how)
    if not sources:
        raise UsageError(f"{read[0].path} holds what failed downloads have left, and no source: name others.")
    if options.whole_videos and not any(how.num_joined for how in read):
        raise UsageError(
            "--whole-videos joins the segments of a video, and no list here names any: leave it out."
        )
    _refuse_twice(sources)
    if missing == "error":
        _refuse_missing(sources)
        _refuse_empty_segments(read)
    return Listing(
        sources=tuple(sources), classes=class_order(sources, read, options=options), inputs=tuple(read)
    )


def _refuse_other_kind(entries: Sequence[Entry], *, images: bool) -> None:
    """Refuse an input of nothing but the other kind; single ones among others are rejected by themselves."""
    is_other = is_video if images else is_image
    if entries and all(is_other(entry.name) for entry in entries):
        what, remedy = ("a video", "leave out --images") if images else ("an image", "add --images")
        where = entries[0].where or entries[0].path
        raise UsageError(
            f"{where}: {entries[0].name} is {what}, as is all that is named there: {remedy}, as a dataset "
            "holds one kind."
        )
    for entry in entries:
        if images and entry.is_segment:
            raise UsageError(f"{entry.where} has times, which an image has not: leave out start and end.")


def _cut(entries: Iterable[Entry], *, first_s: float | None) -> Iterator[Entry]:
    """Yield the first seconds of each video; an end behind the video's is the video's."""
    for entry in entries:
        if first_s is not None and entry.is_segment:
            raise UsageError(
                f"--first is of whole videos, and {entry.where} names a segment of {entry.name}: leave "
                "--first out, or add --whole-videos."
            )
        yield entry if first_s is None else replace(entry, end_s=first_s)


def _sources(entries: Iterable[Entry], *, input_: Input) -> Iterator[Source]:
    """Yield the sources of one input's entries."""
    path, name = input_.path, input_.name
    prefix = f"{name}/" if name.parts else ""
    inside = prefix or f"{path.name}/"  # a video in a file is never called as one beside it
    for entry in entries:
        if entry.offset is not None:
            yield _source(entry, identity=inside + entry.name)
            continue
        # A video that was named itself has its whole name there already.
        is_itself = bool(prefix) and entry.path == str(path)
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
    if not entry.is_segment:
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


def refuse_absent(listing: Listing) -> None:
    """Refuse lists none of whose videos is there: the root is wrong, or they are of another data set.

    Raises:
        UsageError: a list is so.
    """
    missing = set(missing_paths(listing.sources))
    for each in listing.inputs:
        absent = [entry.path for entry in each.entries if entry.path in missing]
        if absent and len(absent) == len(each.entries):
            raise UsageError(
                f"None of the {len(absent)} files that {each.path} names is there, the first would be "
                f"{absent[0]}: {_remedy(absent[0])}"
            )


def missing_paths(sources: Iterable[Source]) -> list[str]:
    """Return the files of the sources that do not exist."""
    suspects = (source.path for source in sources if source.size_bytes < 0)
    return [path for path in suspects if not os.path.lexists(path)]


def has_length(start_s: float | None, end_s: float | None) -> bool:
    """Return whether a segment ends after it begins."""
    return end_s is None or end_s > (start_s or 0.0)


def _refuse_missing(sources: Sequence[Source]) -> None:
    if missing := missing_paths(sources):
        raise UsageError(
            f"{_named(missing)} missing, {len(missing)} of {len(sources)}: correct the list, or use "
            f"--missing quarantine to go on without them{_hint(missing[0])}."
        )


def _refuse_empty_segments(inputs: Sequence[InputRead]) -> None:
    for entry in (entry for each in inputs for entry in each.entries):
        if not has_length(entry.start_s, entry.end_s):
            raise UsageError(
                f"{entry.where}: the segment from {entry.start_s or 0.0:g} to {entry.end_s:g} s has no "
                "length: let it end later, or use --missing quarantine to go on without it."
            )


def _remedy(path: str) -> str:
    other = beside(path)
    if other is None:
        return "give the folder of its files with --root, or see whether it is another data set's list."
    return f"{os.path.basename(other)} is, so take it with --any-suffix."  # noqa: PTH119


def _hint(path: str) -> str:
    other = beside(path)
    return "" if other is None else f" ({other} is there: --any-suffix takes it)"


def _named(paths: Sequence[str]) -> str:
    """Return the first few of many paths, with the verb."""
    return f"{listed(paths, limit=_NUM_NAMED)} {'is' if len(paths) == 1 else 'are'}"
