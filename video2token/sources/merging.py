"""Rows of one video become one sample, with all its captions."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry

_SAME = ("labels", "split", "key")  # of all rows of one video


def merged(entries: Iterable[Entry], *, joins_labels: bool = False) -> list[Entry]:
    """Return the entries of a list, those of one video or segment together.

    Captions stand in the order of the list and as often as there: results of retrieval count every one. Rows
    stay apart where neither has a caption: a video named twice for nothing is refused later.

    Args:
        entries: of one list.
        joins_labels: whether rows may differ in their labels, all of which the sample has then.

    Raises:
        UsageError: rows of one video that differ in more than their captions.
    """
    first: dict[tuple[object, ...], int] = {}
    found: list[Entry] = []
    for entry in entries:
        place = (entry.path, entry.offset, entry.start_s, entry.end_s)
        index = first.setdefault(place, len(found))
        if index == len(found) or not (entry.captions or found[index].captions):
            found.append(entry)
            continue
        before = found[index]
        _refuse_different(entry, before, names=_SAME[joins_labels:])
        captions = (*before.captions, *entry.captions)
        found[index] = replace(before, captions=captions, labels=_labels((before, entry)))
    return found


def whole_videos(entries: Iterable[Entry], *, joins_labels: bool = False) -> list[Entry]:
    """Return the videos of a list, each whole, with what is said of all its segments.

    Captions and labels stand in the order in which the segments begin, then in that of the list, captions as
    often as there, each label once. A video of which the list names no segment is as ``merged`` makes it.

    Args:
        entries: of one list.
        joins_labels: as of ``merged``.

    Raises:
        UsageError: rows of one video that differ in their split or key; as ``merged``.
    """
    rows: dict[tuple[str, int | None], list[Entry]] = {}
    for entry in entries:
        rows.setdefault((entry.path, entry.offset), []).append(entry)
    found: list[Entry] = []
    for same in rows.values():
        if any(entry.is_segment for entry in same):
            found.append(_whole(same))
        else:
            found += merged(same, joins_labels=joins_labels)
    return found


def _whole(rows: Sequence[Entry]) -> Entry:
    for entry in rows[1:]:
        _refuse_different(entry, rows[0], names=_SAME[1:])
    ordered = sorted(rows, key=lambda entry: entry.start_s or 0.0)
    captions = tuple(caption for entry in ordered for caption in entry.captions)
    return replace(ordered[0], start_s=None, end_s=None, captions=captions, labels=_labels(ordered))


def _labels(rows: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for entry in rows for label in entry.labels))


def _refuse_different(entry: Entry, before: Entry, *, names: Iterable[str]) -> None:
    for name in names:
        if getattr(entry, name) != getattr(before, name):
            raise UsageError(
                f"{entry.where} gives {entry.name} the {name} {_told(getattr(entry, name))}, and "
                f"{before.where} {_told(getattr(before, name))}: write the same in all rows of a video."
            )


def _told(value: object) -> str:
    return ", ".join(map(repr, value)) or "none" if isinstance(value, tuple) else repr(value)
