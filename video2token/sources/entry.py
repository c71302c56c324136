"""What every kind of list takes and gives: the contract of ``video2token/sources``, one file per kind."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from vfm.shards.errors import MachineError, UsageError

VIDEO_SUFFIXES = frozenset(
    (
        ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264",
        ".h265", ".hevc", ".ivf", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
        ".mxf", ".obu", ".ogm", ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
    )
)  # fmt: skip
IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".webp"))
IsSource = Callable[[str], bool]  # whether a file of that name is looked for: `is_video` or `is_image`
HIDDEN = "hidden"  # its name begins with a dot, as do the companions that macOS writes (``._x.mp4``)
ALONE = "alone"  # what is said of a source in a tar, without the source: a download that failed
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One video, or one segment of one, as it was named, before its key is known.

    Attributes:
        path: the file that holds its bytes, absolute.
        name: its name relative to what it was named by, POSIX style.
        where: the place in a list that names it, such as ``train.csv line 7``; for sentences.
        labels: class names or integers as text.
        captions: texts.
        split: such as ``train``.
        key: the user's own, None to derive one.
        start_s: begin of the segment, None for the video's begin.
        end_s: its end, None for the video's end.
        offset: where in the file the video begins, None when it is the whole file.
        size_bytes: of a video inside a file; None to ask the file.
        class_index: of the first label in the published numbering, from 0; None where there is none.
        left_out: why it is no source, such as ``HIDDEN``; it is counted. Empty for a source. What is hidden
            may be a folder, which is not searched.
    """

    path: str
    name: str
    where: str = ""
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    split: str | None = None
    key: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    offset: int | None = None
    size_bytes: int | None = None
    class_index: int | None = None
    left_out: str = ""

    @property
    def is_segment(self) -> bool:
        """Whether it is a part of a video."""
        return self.start_s is not None or self.end_s is not None


def is_video(name: str) -> bool:
    """Return whether a name ends like that of a video."""
    return _suffix(name) in VIDEO_SUFFIXES


def is_image(name: str) -> bool:
    """Return whether a name ends like that of an image."""
    return _suffix(name) in IMAGE_SUFFIXES


def is_media(name: str) -> bool:
    """Return whether a name ends like that of a video or an image."""
    return is_video(name) or is_image(name)


def _suffix(name: str) -> str:
    """Return the suffix of a name, lower case, with its dot; empty where it has none."""
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if stem and dot else ""


def is_remote(text: str) -> bool:
    """Return whether a path is an address such as ``https://…`` or ``s3://…``."""
    return _REMOTE.match(text) is not None


def refuse_remote(where: str) -> NoReturn:
    """Say that nothing is downloaded."""
    raise UsageError(
        f"{where} is an address, and vfm downloads nothing: fetch it with another tool and name the file."
    )


def refuse_unreadable(error: OSError) -> NoReturn:
    """Say that a file or folder cannot be read."""
    raise MachineError(
        f"{error.filename} cannot be read ({error.strerror}): change its mode, or name other folders."
    ) from error
