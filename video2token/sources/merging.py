"""Rows of one video become one sample, with all its captions."""

from collections.abc import Iterable
from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry

_SAME = ("labels", "split", "key")  # of all rows of one video


def merged(entries: Iterable[Entry], *, joins_labels: bool = False) -> list[Entry]:
    """Return the entries of a list, those of one video or segment together, each caption once.

    Rows stay apart where neither has a caption: a video named twice for nothing is refused later.

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
        for name in _SAME[joins_labels:]:
            if getattr(entry, name) != getattr(before, name):
                raise UsageError(
                    f"{entry.where} gives {entry.name} the {name} {_told(getattr(entry, name))}, and "
                    f"{before.where} {_told(getattr(before, name))}: write the same in all rows of a video."
                )
        captions = tuple(dict.fromkeys((*before.captions, *entry.captions)))
        labels = tuple(dict.fromkeys((*before.labels, *entry.labels)))
        found[index] = replace(before, captions=captions, labels=labels)
    return found


def _told(value: object) -> str:
    return ", ".join(map(repr, value)) or "none" if isinstance(value, tuple) else repr(value)
