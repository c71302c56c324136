"""WebVid: a CSV with ``videoid``, ``page_dir`` and ``name``, the caption of ``page_dir/videoid.mp4``.

Source: the files published with WebVid-2M and -10M (Bain et al. 2021, ICCV, arXiv:2104.00650).
"""

from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import only, row_texts
from vfm.video2token.sources.lists.list_file import ListFile, Row
from vfm.video2token.sources.lists.list_format import Format, each_row
from vfm.video2token.sources.lists.reading import Reading
from vfm.video2token.sources.lists.video_finder import is_inside


def fits(found: ListFile) -> bool:
    """Return whether the columns are those of WebVid."""
    return found.has("videoid", "page_dir", "name")


def _entry(row: Row, reading: Reading) -> Entry:
    video_id, folder, caption = row_texts(row, "videoid", "page_dir", "name")
    entry = reading.videos.by_id(video_id, where=row.where, folders=filter(is_inside, only(folder)))
    return replace(entry, captions=only(caption))


FORMAT = Format(
    title="WebVid's list",
    example="videoid,contentUrl,duration,page_dir,name\n"
    '21179416,https://…,PT00H00M11S,006001_006050,"Aerial shot, winter forest"',
    fits=fits,
    entries=each_row(_entry),
)
