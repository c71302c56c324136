"""Something-Something v2: JSON objects with ``id``, ``template`` (the class) and ``label`` (a sentence).

``[something]`` in a template is written without brackets in the published list of classes. The list of the
test split has ids alone. Source: the files published with Something-Something v2 (Goyal et al. 2017,
arXiv:1706.04261).
"""

from collections.abc import Iterator
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import text_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the entries have a template, or an id and nothing else."""
    return found.has("id", "template") or set(found.columns) == {"id"}


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos, each with its template as the label and its sentence as the caption."""
    for row in found.rows():
        video_id, template, sentence = (
            text_of(row.cells.get(name), where=row.where, column=name) for name in ("id", "template", "label")
        )
        yield replace(
            reading.videos.by_id(video_id, where=row.where),
            labels=() if template is None else (template.replace("[", "").replace("]", ""),),
            captions=() if sentence is None else (sentence,),
        )


FORMAT = Format(
    title="Something-Something v2's list",
    example='[{"id": "78687", "label": "holding potato next to vicks",\n'
    '  "template": "Holding [something] next to [something]", "placeholders": ["potato", "vicks"]}]',
    fits=fits,
    entries=entries,
)
