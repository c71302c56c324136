"""EPIC-KITCHENS-100: a CSV of segments, ``video_id``, ``start_timestamp``, ``stop_timestamp``, ``narration``.

A segment has the number of a verb and that of a noun. None of them alone is its action, so a label is read
only where ``--label verb``, ``--label noun`` or ``--label action`` says which. Source: the annotations
published with EPIC-KITCHENS-100 (Damen et al. 2022, IJCV, arXiv:2006.13256).
"""

from collections.abc import Iterator
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, row_texts, times_of
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

_NUM_CLASSES = {"verb": 97, "noun": 300}
_CLASSES = {
    None: (),
    "verb": ("verb_class",),
    "noun": ("noun_class",),
    "action": ("verb_class", "noun_class"),
}


def fits(found: ListFile) -> bool:
    """Return whether the columns are those of EPIC-KITCHENS."""
    return found.has("narration_id", "video_id", "start_timestamp", "stop_timestamp")


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the segments, each with its narration as the caption."""
    label = reading.options.label
    if label is None:
        reading.say("its segments get captions and no labels: --label verb, noun or action gives them.")
    for row in found.rows():
        yield _entry(row, columns=_CLASSES[label], reading=reading)


def classes(_found: ListFile, reading: Reading) -> tuple[str, ...]:
    """Return the numbers of all verbs or nouns; empty for actions, whose number nobody fixed."""
    return tuple(map(str, range(_NUM_CLASSES.get(reading.options.label or "", 0))))


def _entry(row: Row, *, columns: tuple[str, ...], reading: Reading) -> Entry:
    video_id, person, narration, *numbers = row_texts(
        row, "video_id", "participant_id", "narration", *columns
    )
    times_s = times_of(row, "start_timestamp", "stop_timestamp")
    folders = [person, f"{person}/videos"] if person and person.isalnum() else []
    entry = reading.videos.by_id(video_id, where=row.where, folders=folders, times_s=times_s)
    # Half of an action would be the label of another.
    label = None if None in numbers else ",".join(map(str, numbers))
    return replace(entry, labels=only(label), captions=only(narration))


FORMAT = Format(
    title="EPIC-KITCHENS' segments",
    example="narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,…\n"
    "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,…",
    fits=fits,
    entries=entries,
    classes=classes,
    labels=("verb", "noun", "action"),
    joins_labels=True,
)
