"""Hugging Face's VideoFolder: ``metadata.csv``, ``.jsonl`` or ``.parquet`` with ``file_name``.

``text``, ``caption`` or ``description`` is the caption, ``label`` the label; the list lies in the folder of
the videos. Source: the documentation of Hugging Face datasets on video data sets.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from vfm.shards.wording import listed
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import path_of, text_of, texts_of
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading

CAPTIONS = ("text", "caption", "captions", "description")
LABELS = ("label", "labels")
_KNOWN = ("file_name", "split", *CAPTIONS, *LABELS)
_NUM_NAMED = 6  # how many columns a sentence names


def fits(found: ListFile) -> bool:
    """Return whether a column is called as VideoFolder's is."""
    return found.has("file_name")


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos with what is known of them."""
    say_unread(found, known=_KNOWN, reading=reading)
    for row in found.rows():
        file = path_of(row.cells.get("file_name"), where=row.where, column="file_name")
        yield replace(
            reading.videos.named(file, where=row.where),
            labels=entry_texts(row, LABELS),
            captions=entry_texts(row, CAPTIONS),
            split=text_of(row.cells.get("split"), where=row.where, column="split"),
        )


def say_unread(found: ListFile, *, known: Collection[str], reading: Reading) -> None:
    """Say which columns of a list mean nothing here."""
    if strange := [name for plain, name in found.columns.items() if plain not in known]:
        reading.say(f"left unread: {listed(strange, limit=_NUM_NAMED)}.")


def entry_texts(row: Row, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts that some columns of a row hold, one or a list in each."""
    cells = (texts_of(row.cells.get(name), where=row.where, column=name, is_many=False) for name in names)
    return tuple(text for texts in cells for text in texts)


FORMAT = Format(
    title="Hugging Face's VideoFolder",
    example='{"file_name": "a.mp4", "text": "a cat"}\n{"file_name": "b.mp4", "text": "a dog"}',
    fits=fits,
    entries=entries,
)
