"""The annotation of MSR-VTT: an object of ``videos`` and of the ``sentences`` that are about them.

A video has ``video_id``, ``split`` and ``category``, a sentence ``video_id`` and ``caption``. Source: the
files published with MSR-VTT (Xu et al. 2016, CVPR). Its ``start time`` and ``end time`` are times in the web
video that a clip was cut from; the published clips are cut already, so they are not segments here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vfm.shards.errors import UsageError
from vfm.video2token.sources.cells import locate, text_of
from vfm.video2token.sources.entry import Entry, ListOptions
from vfm.video2token.sources.lookup import Lookup

_FOLDERS = (".", "all", "videos", "videos/all", "video", "TrainValVideo", "TestVideo")
_SUFFIX = ".mp4"  # of the name that a missing video is told by


def entries(path: Path, value: dict[str, Any], *, options: ListOptions) -> Iterator[Entry]:
    """Yield the videos of the annotation ``value`` that the file ``path`` holds, each with all its captions.

    Raises:
        UsageError: it is not of this shape; the sentence names the entry, counted from 1.
    """
    videos = [
        _video(video, where=f"{path} video {n}") for n, video in enumerate(_list(value, "videos", path), 1)
    ]
    captions: dict[str, list[str]] = {video_id: [] for video_id, _, _, _ in videos}
    for number, sentence in enumerate(_list(value, "sentences", path), 1):
        video_id, caption = _sentence(sentence, where=f"{path} sentence {number}")
        if video_id not in captions:
            raise UsageError(
                f"{path} sentence {number} is about {video_id!r}, which is not one of its videos: fix it."
            )
        captions[video_id].append(caption)
    root = options.root_of(path)
    lookup = Lookup(root)
    for video_id, split, label, where in videos:
        found = lookup.find(video_id, folders=_FOLDERS)
        file, name = locate(found or video_id + _SUFFIX, root=str(root), where=where)
        yield Entry(
            path=file,
            name=name,
            where=where,
            labels=() if label is None else (label,),
            captions=tuple(captions[video_id]),
            split=split,
        )


def _list(value: dict[str, Any], name: str, path: Path) -> list[Any]:
    items = value.get(name, [])
    if not isinstance(items, list):
        raise UsageError(f"{path}: {name} is not a list: write it as MSR-VTT does.")
    return items


def _video(video: object, *, where: str) -> tuple[str, str | None, str | None, str]:
    """Return the id, split and category of a video, and where it stands."""
    if not isinstance(video, dict) or "video_id" not in video:
        raise UsageError(f"{where} has no video_id: write it as MSR-VTT does.")
    video_id, split, label = (
        text_of(video.get(name), where=where, column=name) for name in ("video_id", "split", "category")
    )
    if video_id is None or "/" in video_id:
        raise UsageError(f"{where} has no usable video_id: write it as MSR-VTT does.")
    return video_id, split, label, where


def _sentence(sentence: object, *, where: str) -> tuple[str, str]:
    if not isinstance(sentence, dict):
        raise UsageError(f"{where} is not an object: write it as MSR-VTT does.")
    video_id, caption = (
        text_of(sentence.get(name), where=where, column=name) for name in ("video_id", "caption")
    )
    if video_id is None or caption is None:
        raise UsageError(f"{where} lacks its video_id or its caption: write it as MSR-VTT does.")
    return video_id, caption
