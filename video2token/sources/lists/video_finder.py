"""Finds the files that lists mean: by their paths, or by an id alone, without suffix and folder."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import (
    Entry,
    IsSource,
    is_image,
    is_media,
    is_remote,
    is_video,
    refuse_remote,
    refuse_unreadable,
)

_SUFFIX, _IMAGE_SUFFIX = ".mp4", ".jpg"  # of the name that a missing file is told by
_PREFIX = "v_"  # of ActivityNet's files, which its lists leave away or write


Times = tuple[float | None, float | None]  # begin and end of a segment, seconds; None for the video's own


class VideoFinder:
    """The videos under one folder; each folder is listed once, when it is first asked for.

    Args:
        root: the folder.
        any_suffix: whether a file with another suffix is taken for one that is missing.
        whole_videos: whether clips that are cut already are passed over, for the videos that they are of.
        is_source: which files are looked for, videos or images.
    """

    def __init__(
        self,
        root: Path,
        *,
        any_suffix: bool = False,
        whole_videos: bool = False,
        is_source: IsSource = is_video,
    ) -> None:
        self._root = str(root)
        self._any_suffix = any_suffix
        self._whole_videos = whole_videos
        self._is_source = is_source
        self._suffix = _IMAGE_SUFFIX if is_source is is_image else _SUFFIX
        self._folders: dict[str, dict[str, list[str]]] = {}
        self._tree: dict[str, list[str]] | None = None

    def named(self, named: str | None, *, where: str) -> Entry:
        """Return an entry for the file that a list names by its path, which may be missing.

        No sample may record where a disk is mounted, so a path outside the root gets ``..`` in its name.

        Raises:
            UsageError: an address, or nothing that can be a path.
        """
        if not named or "\x00" in named:
            raise UsageError(f"{where} has no usable path: name a video there, or delete it.")
        if is_remote(named):
            refuse_remote(where)
        entry = self._entry(os.path.normpath(named), where=where)
        if self._any_suffix and not os.path.lexists(entry.path):
            folder, _, file = entry.name.rpartition("/")
            return self._one(self._inside(folder).get(_stem(file), []), where=where) or entry
        return entry

    def by_id(
        self,
        video_id: str | None,
        *,
        where: str,
        folders: Iterable[str] = (),
        times_s: Times = (None, None),
    ) -> Entry:
        """Return an entry for the file of an id: right under the root, in some folders, or anywhere below.

        A segment whose times are whole seconds is first looked for as a clip that is cut already,
        ``ID_START_END``, six digits each or as few as it takes, whose entry has no times; then as ``ID`` or
        ``v_ID``; each with any suffix of a video. One that is nowhere is told by its first name.

        Args:
            video_id: as the list writes it, with or without a suffix.
            where: the place in the list, for sentences.
            folders: relative to the root, best first.
            times_s: of the segment.

        Raises:
            UsageError: no id, or several files of one name.
        """
        if not video_id or "\x00" in video_id or not is_inside(video_id):
            raise UsageError(f"{where} has no usable id of a video: write it, or delete it.")
        if is_media(video_id) and os.path.lexists(os.path.join(self._root, video_id)):  # noqa: PTH118
            return self._entry(video_id, where=where, times_s=times_s)
        stem = _stem(video_id)
        clips = [] if self._whole_videos else _clip_names(stem, times_s)
        wholes = _whole_names(stem)
        for videos in self._searched(folders):
            if clip := self._first(videos, clips, where=where):
                return clip
            if whole := self._first(videos, wholes, where=where, times_s=times_s):
                return whole
        if clips and not is_media(video_id):
            return self._entry(clips[0] + self._suffix, where=where)
        name = video_id if is_media(video_id) else stem + self._suffix
        return self._entry(name, where=where, times_s=times_s)

    def _searched(self, folders: Iterable[str]) -> Iterator[dict[str, list[str]]]:
        for folder in (".", *folders):
            if videos := self._inside(folder):
                yield videos
        yield self._below()

    def _first(
        self, videos: dict[str, list[str]], names: list[str], *, where: str, times_s: Times = (None, None)
    ) -> Entry | None:
        for name in names:
            if name in videos:
                return self._one(videos[name], where=where, times_s=times_s)
        return None

    def _one(self, names: list[str], *, where: str, times_s: Times = (None, None)) -> Entry | None:
        if len(names) > 1:
            raise UsageError(
                f"{self._root} holds both {names[0]} and {names[1]}, and {where} names neither: keep one of "
                "them, or point --root at its folder."
            )
        return self._entry(names[0], where=where, times_s=times_s) if names else None

    def _entry(self, name: str, *, where: str, times_s: Times = (None, None)) -> Entry:
        file = os.path.normpath(os.path.join(self._root, name))  # noqa: PTH118 (a Path costs ten times as much)
        is_plain = not name.startswith(("/", ".."))
        told = os.path.normpath(name) if is_plain else os.path.relpath(file, self._root)
        return Entry(path=file, name=told, where=where, start_s=times_s[0], end_s=times_s[1])

    def _inside(self, folder: str) -> dict[str, list[str]]:
        """Return the videos right inside a folder by their stem, relative to the root."""
        if folder not in self._folders:
            found = _files_by_stem(os.path.join(self._root, folder), is_source=self._is_source)  # noqa: PTH118
            prefix = "" if folder in ("", ".") else f"{folder}/"
            self._folders[folder] = {stem: [prefix + name for name in names] for stem, names in found.items()}
        return self._folders[folder]

    def _below(self) -> dict[str, list[str]]:
        """Return all videos under the root by their path without suffix, from each folder on."""
        if self._tree is None:
            self._tree = {}
            for name in sorted(_files_below(self._root, is_source=self._is_source)):
                parts = _stem(name).split("/")
                for first in range(len(parts)):
                    self._tree.setdefault("/".join(parts[first:]), []).append(name)
        return self._tree


def is_inside(name: str) -> bool:
    """Return whether a name leads to no place outside of the folder that it is relative to."""
    return not name.startswith("/") and ".." not in name.split("/")


def beside(path: str) -> str | None:
    """Return a file beside a missing one of its kind that differs by its suffix alone, None without one."""
    folder, file = os.path.split(path)
    kind = is_image if is_image(file) else is_video
    others = _files_by_stem(folder, is_source=kind).get(_stem(file), [])
    return os.path.join(folder, others[0]) if others else None  # noqa: PTH118


def _clip_names(stem: str, times_s: Times) -> list[str]:
    # Other times are not told apart by names in whole seconds: one clip would be that of two segments.
    if times_s[0] is None or times_s[1] is None or times_s[0] % 1 or times_s[1] % 1:
        return []
    start, end = int(times_s[0]), int(times_s[1])
    return [f"{stem}_{start:06d}_{end:06d}", f"{stem}_{start}_{end}"]


def _whole_names(stem: str) -> list[str]:
    folder, slash, file = stem.rpartition("/")
    other = file.removeprefix(_PREFIX) if file.startswith(_PREFIX) else _PREFIX + file
    return [stem, folder + slash + other]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if is_media(name) else name


def _files_by_stem(folder: str, *, is_source: IsSource) -> dict[str, list[str]]:
    videos: dict[str, list[str]] = {}
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 (plain names are all it takes)
    except (FileNotFoundError, NotADirectoryError):
        return videos
    except OSError as error:
        refuse_unreadable(error)
    for name in names:
        if is_source(name) and not name.startswith("."):
            videos.setdefault(_stem(name), []).append(name)
    return videos


def _files_below(root: str, *, is_source: IsSource) -> Iterator[str]:
    """Yield the sources in all folders under a root, relative to it; what is hidden is not searched."""
    prefix = os.path.join(root, "")  # noqa: PTH118
    for folder, folders, names in os.walk(root, onerror=refuse_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = folder.removeprefix(prefix) if folder != root else ""
        for name in names:
            if is_source(name) and not name.startswith("."):
                yield f"{inside}/{name}" if inside else name
