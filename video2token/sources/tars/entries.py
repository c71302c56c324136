"""Tars of videos or images (WebDataset shards): each is a source, texts beside it give captions and labels.

Members belong together when their names agree up to the first dot, as in WebDataset: ``KEY.mp4``, ``KEY.txt``
(caption), ``KEY.cls`` (label), ``KEY.json`` (``caption``, ``label``, ``split``). Of a
download that failed img2dataset keeps ``KEY.json`` alone.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from vfm.shards.encoding import decode_utf8
from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import (
    ALONE,
    HIDDEN,
    Entry,
    IsSource,
    is_video,
    refuse_unreadable,
)
from vfm.video2token.sources.tars.headers import Member, TarError, members

_MAX_TEXT_BYTES = 16 << 20  # of a member that is read whole; facts of a web video can be long

Texts = dict[str, Any]  # labels, captions, split


def read_tar(path: Path, *, is_source: IsSource = is_video) -> Iterator[Entry]:
    """Yield the sources of a tar, in its order; only headers and short texts are read.

    What is hidden is told as such, as in a folder, and so is a ``KEY.json`` without a source. A source that
    is a link or a sparse file has a size of -1, by which reading it will reject it.

    Args:
        path: absolute; a tar that is not compressed.
        is_source: which members are looked for, videos or images.

    Raises:
        UsageError: it is not such a tar, or holds two sources of one name.
        MachineError: it may not be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        refuse_unreadable(error)
    try:
        yield from _entries(descriptor, path=path, is_source=is_source)
    except TarError as error:
        raise UsageError(
            f"{path} is not a complete, uncompressed tar ({error}): download or unpack it "
            "again, or leave it out."
        ) from None
    finally:
        os.close(descriptor)


def _entries(descriptor: int, *, path: Path, is_source: IsSource) -> Iterator[Entry]:
    found: dict[str, Member] = {}
    texts: dict[str, Texts] = {}
    for member in members(descriptor):
        path_in_tar = PurePosixPath(member.name)
        name = str(path_in_tar)
        if any(part.startswith(".") and part != ".." for part in path_in_tar.parts):
            if is_source(name):
                yield Entry(path=str(path), name=name, where=f"{path} member {name}", left_out=HIDDEN)
            continue
        key, _, suffix = _split(name)
        if is_source(name):
            if name in found:
                raise UsageError(f"{path} holds {name} twice: leave one out.")
            found[name] = member
        elif suffix in _READERS and member.is_plain:
            where = f"{path} member {name}"
            data = _text(descriptor, member, where=where)
            texts.setdefault(key, {}).update(_READERS[suffix](data, where))
    keys = {_split(name)[0] for name in found}
    for key in sorted(key for key, each in texts.items() if "captions" in each and key not in keys):
        yield Entry(path=str(path), name=key, where=f"{path} member {key}.json", left_out=ALONE)
    for name, member in found.items():
        yield Entry(
            path=str(path),
            name=name,
            where=f"{path} member {name}",
            offset=member.offset,
            size_bytes=member.size_bytes if member.is_plain else -1,
            **_best(texts.get(_split(name)[0], {})),
        )


def _split(name: str) -> tuple[str, str, str]:
    """Return WebDataset's key of a member, the dot, and the rest."""
    folder, slash, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    return folder + slash + stem, dot, suffix.lower()


def _text(descriptor: int, member: Member, *, where: str) -> str:
    if member.size_bytes > _MAX_TEXT_BYTES:
        raise UsageError(f"{where} has {member.size_bytes} bytes, which is too much for a caption or label.")
    return decode_utf8(os.pread(descriptor, member.size_bytes, member.offset), name=where)


def _of_txt(data: str, _where: str) -> Texts:
    return {"txt": tuple(filter(None, [data.strip()]))}


def _of_cls(data: str, _where: str) -> Texts:
    return {"cls": tuple(filter(None, [data.strip()]))}


def _of_json(data: str, where: str) -> Texts:
    """Return caption, label and split of a JSON object where they are texts; the rest is not for us."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not JSON ({error}): fix it or leave it out.") from None
    if not isinstance(value, dict):
        return {}
    return {
        "captions": _simple(value, "captions") or _simple(value, "caption"),
        "labels": _simple(value, "labels") or _simple(value, "label"),
        "split": next(iter(_simple(value, "split")), None),
    }


def _simple(value: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return a field that is a text, an integer or a list of them; nothing where it is more than that."""
    found = value.get(name)
    items = found if isinstance(found, list) else [found]
    if any(isinstance(item, bool) or not isinstance(item, str | int) for item in items):
        return ()
    return tuple(text for item in items if (text := str(item).strip()))


_READERS = {"txt": _of_txt, "cls": _of_cls, "json": _of_json}


def _best(texts: Texts) -> Texts:
    """Return the fields of an entry; a member of its own goes before a field of the JSON."""
    return {
        "captions": texts.get("txt") or texts.get("captions", ()),
        "labels": texts.get("cls") or texts.get("labels", ()),
        "split": texts.get("split"),
    }
