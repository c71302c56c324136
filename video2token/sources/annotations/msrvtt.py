"""MSR-VTT: the JSON of ``videos`` and ``sentences``, the CSV of 1k-A, and the lists of ids of 9k and 7k.

A video of the JSON has ``video_id``, ``split`` and ``category``, a sentence ``video_id`` and ``caption``. Its
``start time`` and ``end time`` are times in the web video that a clip was cut from; the published clips are
cut already, so they are not segments here. Source: the files published with MSR-VTT (Xu et al. 2016, CVPR),
and with its splits for retrieval (Yu et al. 2018, ECCV, 1k-A; Gabeur et al. 2020, ECCV, 9k).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, row_texts, text_of
from vfm.video2token.sources.lists.file_types import json as json_files
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

_WHOLE = ("MSRVTT_data.json", "MSRVTT_v2.json", "train_val_videodatainfo.json")  # beside a list of ids


def fits(found: ListFile) -> bool:
    """Return whether the file is one of MSR-VTT's."""
    if isinstance(found.value, dict):
        return found.value.keys() >= {"videos", "sentences"}
    return set(found.columns) == {"video_id"} or found.has("vid_key", "video_id", "sentence")


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos of a file, each with all its captions.

    Raises:
        UsageError: it is not of this shape; the sentence names the entry, counted from 1.
    """
    if isinstance(found.value, dict):
        yield from _of_json(found, reading)
        return
    captions = {} if found.has("sentence") else _captions_beside(found, reading)
    for row in found.rows():
        video_id, sentence = row_texts(row, "video_id", "sentence")
        known = (sentence,) if sentence is not None else tuple(captions.get(video_id or "", ()))
        yield replace(reading.videos.by_id(video_id, where=row.where), captions=known)


def _captions_beside(found: ListFile, reading: Reading) -> dict[str, list[str]]:
    """Return the captions by id of MSR-VTT's JSON beside a list of ids, which has none."""
    for path in map(found.path.with_name, _WHOLE):
        if path.is_file():
            reading.say(f"its captions are those of {path}, which lies beside it.")
            return _captions(json_files.read(path))
    reading.say(f"it has ids alone: put {_WHOLE[0]} beside it for the captions.")
    return {}


def _of_json(found: ListFile, reading: Reading) -> Iterator[Entry]:
    captions = _captions(found)
    for number, video in enumerate(_list(found, "videos"), 1):
        where = f"{found.path} video {number}"
        video_id, split, label = _video(video, where=where)
        yield replace(
            reading.videos.by_id(video_id, where=where),
            labels=only(label),
            captions=tuple(captions[video_id]),
            split=split,
        )


def _captions(found: ListFile) -> dict[str, list[str]]:
    """Return the captions by video, in their order.

    Raises:
        UsageError: a sentence about a video that is not there.
    """
    videos = enumerate(_list(found, "videos"), 1)
    captions: dict[str, list[str]] = {
        _video(video, where=f"{found.path} video {number}")[0]: [] for number, video in videos
    }
    for number, sentence in enumerate(_list(found, "sentences"), 1):
        video_id, caption = _sentence(sentence, where=f"{found.path} sentence {number}")
        if video_id not in captions:
            raise UsageError(
                f"{found.path} sentence {number} is about {video_id!r}, which is not one of its videos: fix "
                "it."
            )
        captions[video_id].append(caption)
    return captions


def _list(found: ListFile, name: str) -> list[Any]:
    items = found.value.get(name, []) if isinstance(found.value, dict) else None
    if not isinstance(items, list):
        raise UsageError(f"{found.path}: {name} is not a list: write it as MSR-VTT does.")
    return items


def _video(video: object, *, where: str) -> tuple[str, str | None, str | None]:
    """Return the id, split and category of a video."""
    if not isinstance(video, Mapping) or "video_id" not in video:
        raise UsageError(f"{where} has no video_id: write it as MSR-VTT does.")
    video_id, split, label = (
        text_of(video.get(name), where=where, column=name) for name in ("video_id", "split", "category")
    )
    if video_id is None or "/" in video_id:
        raise UsageError(f"{where} has no usable video_id: write it as MSR-VTT does.")
    return video_id, split, label


def _sentence(sentence: object, *, where: str) -> tuple[str, str]:
    if not isinstance(sentence, Mapping):
        raise UsageError(f"{where} is not an object: write it as MSR-VTT does.")
    video_id, caption = (
        text_of(sentence.get(name), where=where, column=name) for name in ("video_id", "caption")
    )
    if video_id is None or caption is None:
        raise UsageError(f"{where} lacks its video_id or its caption: write it as MSR-VTT does.")
    return video_id, caption


FORMAT = Format(
    title="MSR-VTT's list",
    example="key,vid_key,video_id,sentence\n"
    "ret0,msr9770,video9770,a person is connecting something to system",
    fits=fits,
    entries=entries,
    classes=lambda _found, _reading: tuple(map(str, range(20))),
)
