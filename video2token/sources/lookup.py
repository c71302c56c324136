"""Finds the file of a video that a list names by its number alone, without the suffix."""

import os
from collections.abc import Iterable
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import is_video, refuse_unreadable


class Lookup:
    """Videos by the stem of their name; each folder is listed once, when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, dict[str, str]] = {}

    def find(self, stem: str, *, folders: Iterable[str]) -> str | None:
        """Return the video called ``stem`` and any suffix of a video, relative to the root; None without one.

        Args:
            stem: the name without its suffix.
            folders: where to look, relative to the root, best first; ``.`` is the root.

        Raises:
            UsageError: a folder holds two of them.
        """
        for folder in folders:
            name = self._videos(folder).get(stem)
            if name is not None:
                return os.path.normpath(os.path.join(folder, name))  # noqa: PTH118
        return None

    def _videos(self, folder: str) -> dict[str, str]:
        if folder not in self._folders:
            self._folders[folder] = _by_stem(self._root / folder)
        return self._folders[folder]


def _by_stem(folder: Path) -> dict[str, str]:
    videos: dict[str, str] = {}
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 (plain names are all it takes)
    except (FileNotFoundError, NotADirectoryError):
        return videos
    except OSError as error:
        refuse_unreadable(error)
    for name in names:
        if name.startswith(".") or not is_video(name):
            continue
        other = videos.setdefault(name.rpartition(".")[0], name)
        if other != name:
            raise UsageError(
                f"{folder} holds both {other} and {name}, and the list names neither: keep one of them."
            )
    return videos
