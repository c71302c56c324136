"""Lines of a path and numbers behind it, the layout of most lists for training."""

import re
from dataclasses import replace

from vfm.video2token.sources.entry import Entry, is_media
from vfm.video2token.sources.lists.reading import Reading

_LINE = re.compile(r"(?P<path>.+?)(?P<numbers>(?:(?:[ \t]+|[ \t]*,[ \t]*)-?\d+(?:\.\d+)?)*)[ \t]*")


def cut_line(text: str) -> tuple[str, list[str]]:
    """Return the path and the numbers at the end of a line; a path may hold spaces, as ``v/cam 1.mp4 0``."""
    cut = _LINE.fullmatch(text)
    if cut is None:  # a line of separators alone
        return text, []
    return cut["path"], re.split(r"[ \t,]+", cut["numbers"].strip(" \t,")) if cut["numbers"] else []


def has_commas(text: str) -> bool:
    """Return whether commas stand between the path and the numbers of a line."""
    cut = _LINE.fullmatch(text)
    return cut is not None and "," in cut["numbers"]


def are_integers(numbers: list[str]) -> bool:
    """Return whether none of the numbers has a point."""
    return not any("." in number for number in numbers)


def named_video(path: str, *, where: str, reading: Reading, labels: list[str]) -> Entry:
    """Return the entry of a line's path, which may lack the suffix, with its labels."""
    videos = reading.videos
    entry = videos.named(path, where=where) if is_media(path) else videos.by_id(path, where=where)
    return replace(entry, labels=tuple(labels))
