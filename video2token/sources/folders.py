"""What folders and patterns hold, in one order on every machine; links to folders are not followed."""

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.shards.wording import counted
from vfm.video2token.sources.entry import (
    HIDDEN,
    Entry,
    IsSource,
    is_image,
    is_video,
    refuse_unreadable,
)
from vfm.video2token.sources.tars.entries import read_tar

_MAGIC = re.compile(r"[*?[]")


def walk(root: Path, *, is_source: IsSource = is_video) -> Iterator[Entry]:
    """Yield the sources under a folder in the order of their names; hidden folders are not searched."""
    base = os.path.join(root, "")  # noqa: PTH118 (text is ten times as fast as paths)
    for folder, folders, names in os.walk(root, onerror=refuse_unreadable):
        hidden = sorted(name for name in folders if name.startswith("."))
        folders[:] = sorted(set(folders).difference(hidden))
        for name in [*hidden, *sorted(filter(is_source, names))]:
            path = os.path.join(folder, name)  # noqa: PTH118
            left_out = HIDDEN if name.startswith(".") else ""
            yield Entry(path=path, name=path.removeprefix(base), where=path, left_out=left_out)


def refuse_empty(root: Path, *, num_hidden: int, images: bool = False) -> None:
    """Say that a folder or tar holds no source, and what it holds instead.

    Args:
        root: the folder or tar.
        num_hidden: files and folders in it that are hidden.
        images: whether images were looked for, and not videos.

    Raises:
        UsageError: always.
    """
    what, other = ("image", "video") if images else ("video", "image")
    num_others = num_sources(root, is_source=is_video if images else is_image)
    num_tars = sum(name.endswith(".tar") for name in os.listdir(root)) if root.is_dir() else 0  # noqa: PTH208
    if num_others:
        remedy = "leave out --images" if images else "add --images"
        told = f", but {counted(num_others, other)}: {remedy} to have them, or name a folder with some"
    elif num_tars:
        told = f", but {num_tars} tars: name them, as in '{root}/*.tar'"
    elif num_hidden:
        told = f" but hidden ones, {num_hidden}: give them names that do not begin with a dot"
        told += ", or name a folder with some"
    else:
        told = ": name a folder with some"
    raise UsageError(f"{root} holds no {what}{told}, or a list of them.")


def num_sources(root: Path, *, is_source: IsSource) -> int:
    """Return how many sources of a kind a folder or tar holds; those of a list are not looked for."""
    found: Iterator[Entry] = iter(())
    if root.is_dir():
        found = walk(root, is_source=is_source)
    elif root.suffix.lower() == ".tar":
        found = read_tar(root, is_source=is_source)
    return sum(not entry.left_out for entry in found)


def is_pattern(path: Path) -> bool:
    """Return whether a path that does not exist is to be read as a pattern."""
    return _MAGIC.search(str(path)) is not None and not os.path.lexists(path)


def split_pattern(pattern: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder that a pattern begins with, and its parts from the first wildcard on."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    return Path(*parts[:first]), parts[first:]


def match(folder: Path, parts: Sequence[str]) -> Iterator[str]:
    """Yield the files under a folder that a pattern means, relative to the folder, sorted, each once.

    ``*``, ``?`` and ``[…]`` match within one name, ``**`` any number of folders. Hidden names are matched
    only by a part that begins with a dot.
    """
    yield from sorted(set(_match(str(folder), "", tuple(parts))))


def _match(root: str, inside: str, parts: tuple[str, ...]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _match(root, inside, rest or ("*",))
    for item in _listed(root, inside):
        name = f"{inside}/{item.name}" if inside else item.name
        is_hidden = item.name.startswith(".")
        if part == "**":
            if not is_hidden and item.is_dir(follow_symlinks=False):
                yield from _match(root, name, parts)
        elif fnmatchcase(item.name, part) and (part.startswith(".") or not is_hidden):
            is_folder = item.is_dir(follow_symlinks=False)
            if rest and is_folder:
                yield from _match(root, name, rest)
            elif not rest and not item.is_dir():
                yield name


def _listed(root: str, inside: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(f"{root}/{inside}") as items:
            return list(items)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        refuse_unreadable(error)
