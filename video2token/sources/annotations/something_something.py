"""Something-Something v2: JSON objects with ``id``, ``template`` (the class) and ``label`` (a sentence).

``[something]`` in a template is written without brackets in the published list of classes. The list of the
test split has ids alone. Source: the files published with Something-Something v2 (Goyal et al. 2017,
arXiv:1706.04261).
"""

from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, row_texts
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format, each_row
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the entries have a template, or an id and nothing else."""
    return found.has("id", "template") or set(found.columns) == {"id"}


def _entry(row: Row, reading: Reading) -> Entry:
    video_id, template, sentence = row_texts(row, "id", "template", "label")
    label = (template or "").replace("[", "").replace("]", "")
    entry = reading.videos.by_id(video_id, where=row.where)
    return replace(entry, labels=only(label), captions=only(sentence))


FORMAT = Format(
    title="Something-Something v2's list",
    example='[{"id": "78687", "label": "holding potato next to vicks",\n'
    '  "template": "Holding [something] next to [something]", "placeholders": ["potato", "vicks"]}]',
    fits=fits,
    entries=each_row(_entry),
)
