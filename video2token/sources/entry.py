"""What every kind of list takes and gives: the contract of ``video2token/sources``, one file per kind."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from vfm.shards.errors import MachineError, UsageError

VIDEO_SUFFIXES = frozenset(
    (
        ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264",
        ".h265", ".hevc", ".ivf", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
        ".mxf", ".obu", ".ogm", ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
    )
)  # fmt: skip
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")

OtherColumns = Literal["error", "ignore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """How lists are read.

    Attributes:
        root: folder that relative paths of lists are relative to; None for the folder of each list.
        classes: names of the classes; a label that is an integer is a position in here. Empty: labels stay
            as they are written.
        other_columns: whether columns or fields that mean nothing here are an error, or left unread.
    """

    root: Path | None = None
    classes: tuple[str, ...] = ()
    other_columns: OtherColumns = "error"

    def root_of(self, path: Path) -> Path:
        """Return the absolute folder that the paths of the list ``path`` are relative to."""
        return path.parent if self.root is None else self.root.absolute()


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
        is_hidden: whether its name begins with a dot, as do the companions that macOS writes (``._x.mp4``):
            it is left out, and counted. Then it may be a folder, which is not searched.
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
    is_hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of any list: its cells by column, and where it stands."""

    where: str
    cells: Mapping[str, object] = field(default_factory=dict)


def is_video(name: str) -> bool:
    """Return whether a name ends like that of a video."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and f".{suffix.lower()}" in VIDEO_SUFFIXES


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
