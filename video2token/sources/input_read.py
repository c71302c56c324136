"""Reads one input, whatever it is, into entries."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.splits import canonical_split, check_split
from vfm.shards.wording import counted
from vfm.video2token.sources import annotations
from vfm.video2token.sources.entry import Entry, is_video
from vfm.video2token.sources.folder_labels import label_by_folders
from vfm.video2token.sources.folders import num_sources, walk
from vfm.video2token.sources.inputs import Input
from vfm.video2token.sources.lists import file_types
from vfm.video2token.sources.lists.reading import ListOptions, Reading
from vfm.video2token.sources.lists.recognition import open_list, recognized
from vfm.video2token.sources.lists.video_finder import VideoFinder
from vfm.video2token.sources.merging import merged, whole_videos
from vfm.video2token.sources.split_names import split_of_name
from vfm.video2token.sources.tars.entries import read_tar

_NO_VIDEOS = frozenset(
    (".7z", ".bz2", ".gz", ".lst", ".ndjson", ".pkl", ".tgz", ".xlsx", ".xml", ".yaml", ".zip")
)
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # lists of Hugging Face in their folder


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRead:
    """How one input was read.

    Attributes:
        path: the input.
        entries: what is a source.
        format_name: of a list, as ``--format`` calls it; None for folders, tars and videos.
        classes: all labels in their published order, where the list says it.
        split_by_name: the split that the name of a list gave its videos, None where it gave none.
        renamed_splits: the splits that have another name here, by the name in the list.
        left_out: places of what is no source, by the reason.
        notes: what the user should know, one sentence each.
        num_joined: segments that are part of whole videos here, as was asked for.
    """

    path: Path
    entries: Sequence[Entry]
    format_name: str | None = None
    classes: tuple[str, ...] = ()
    split_by_name: str | None = None
    renamed_splits: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    num_joined: int = 0


def read_input(given: Input, options: ListOptions, *, split: str | None = None) -> InputRead:
    """Return what one input holds.

    Args:
        given: a file or folder.
        options: how lists are read.
        split: that all its videos are of; None for their own.

    Raises:
        UsageError: there is none, it cannot be understood, or it is no source of videos.
        MachineError: it may not be read.
    """
    path = given.path
    if path.is_dir():
        return _split_up(_of_folder(path, options), split=split)
    if not os.path.lexists(path):
        raise UsageError(f"{path} does not exist: name a folder, a video or a list.")
    if not given.is_matched and not path.is_file():
        raise UsageError(f"{path} is neither a file nor a folder: name a folder, a video or a list.")
    return _split_up(_of_file(path, options), split=split)


def _of_file(path: Path, options: ListOptions) -> InputRead:
    suffix = path.suffix.lower()
    if suffix == ".tar" and path.is_file():  # a pattern may match a pipe, which would block
        return InputRead(path=path, entries=list(read_tar(path, is_source=options.is_source)))
    if suffix[1:] in file_types.names() and path.is_file():
        return _of_list(path, options)
    if suffix in _NO_VIDEOS:
        raise UsageError(
            f"{path} is neither a video nor a list that vfm can read ({', '.join(file_types.names())}, tar)."
        )
    return InputRead(path=path, entries=[Entry(path=str(path), name=path.name, where=str(path))])


def _of_folder(path: Path, options: ListOptions) -> InputRead:
    every = list(walk(path, is_source=options.is_source))
    videos = [entry for entry in every if not entry.left_out]
    unread = [name for name in _METADATA if (path / name).is_file()]
    notes = [f"{path / name} is not read: name it to have what it says of the videos." for name in unread]
    if options.images and (num_videos := num_sources(path, is_source=is_video)):
        notes.append(f"{path}: {counted(num_videos, 'video')} in it left out, as one dataset holds one kind.")
    if not (options.has_folder_labels and videos):
        return InputRead(path=path, entries=every, notes=notes)
    labelled, told = label_by_folders(videos)
    left_out = [entry for entry in every if entry.left_out]
    notes += [f"{path} {told}"] if told else []
    return InputRead(path=path, entries=[*labelled, *left_out], notes=notes)


def _of_list(path: Path, options: ListOptions) -> InputRead:
    found = open_list(path)
    name = recognized(found, name=options.format_name)
    format_ = annotations.load(name)
    if options.label is not None and options.label not in format_.labels:
        told = "has one kind of label: leave it out"
        if format_.labels:
            told = f"has no such label: choose {', '.join(format_.labels)}"
        raise UsageError(f"--label {options.label}: {path} is read as {format_.title}, which {told}.")
    notes: list[str] = []
    videos = VideoFinder(
        options.root_of(path),
        any_suffix=options.any_suffix,
        whole_videos=options.whole_videos,
        is_source=options.is_source,
    )
    reading = Reading(options=options, videos=videos, say=lambda told: notes.append(f"{path.name}: {told}"))
    rows: Iterable[Entry] = format_.entries(found, reading)
    join, num_joined = merged, 0
    if options.whole_videos:
        rows, join = list(rows), whole_videos
        num_joined = _say_joined(rows, reading)
    return InputRead(
        path=path,
        entries=join(rows, joins_labels=format_.joins_labels),
        format_name=name,
        classes=format_.classes(found, reading),
        notes=notes,
        num_joined=num_joined,
    )


def _say_joined(rows: Iterable[Entry], reading: Reading) -> int:
    """Return how many segments whole videos are made of, and say of how many videos they are."""
    segments = [(entry.path, entry.offset) for entry in rows if entry.is_segment]
    if segments:
        num_videos = len(set(segments))
        reading.say(f"its segments are joined to whole videos: {len(segments):,} to {num_videos:,}.")
    else:
        reading.say("it names no segments, so --whole-videos changes nothing of it.")
    return len(segments)


def _split_up(found: InputRead, *, split: str | None) -> InputRead:
    """Return an input with the split of each entry by its one name, and what is left out on its own."""
    by_name = split_of_name(found.path.stem) if found.format_name is not None else None
    is_split = any(entry.split for entry in found.entries)
    by_name = None if split or is_split else by_name
    notes = [*found.notes, *_overruled(found, split=split)]
    left_out: dict[str, list[str]] = {}
    for entry in found.entries:
        if entry.left_out:
            left_out.setdefault(entry.left_out, []).append(entry.where)
    kept = [entry for entry in found.entries if not entry.left_out]
    return replace(
        found,
        entries=[_with_split(entry, split or by_name or _own_split(entry)) for entry in kept],
        split_by_name=by_name,
        renamed_splits=_renamed(entry.split for entry in kept) if split is None else {},
        left_out=left_out,
        notes=notes,
    )


def _with_split(entry: Entry, split: str | None) -> Entry:
    return entry if entry.split == split else replace(entry, split=split)


def _overruled(found: InputRead, *, split: str | None) -> Iterator[str]:
    """Yield a note of the splits that a list says itself and the user has given another."""
    if split is None:
        return
    others = [
        entry
        for entry in found.entries
        if not entry.left_out and canonical_split(entry.split or split) != split
    ]
    if others:
        yield (
            f"{found.path}: {len(others):,} of its samples are of another split there, the first of "
            f"{others[0].split}, and of {split} here, as --list says."
        )


def _own_split(entry: Entry) -> str | None:
    try:
        return None if entry.split is None else check_split(entry.split)
    except UsageError as error:
        raise UsageError(f"{entry.where}: {error}") from None


def _renamed(splits: Iterable[str | None]) -> dict[str, str]:
    names = {split: canonical_split(split) for split in set(splits) if split is not None}
    return {name: one for name, one in sorted(names.items()) if name != one}
