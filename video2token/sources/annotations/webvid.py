"""WebVid: a CSV with ``videoid``, ``page_dir`` and ``name``, the caption of ``page_dir/videoid.mp4``.

Source: the files published with WebVid-2M and -10M (Bain et al. 2021, ICCV, arXiv:2104.00650).
"""

from collections.abc import Iterator
from dataclasses import replace

from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import text_of
from vfm.video2token.sources.lists.list_file import ListFile
from vfm.video2token.sources.lists.list_format import Format
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the columns are those of WebVid."""
    return found.has("videoid", "page_dir", "name")


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos with their captions."""
    for row in found.rows():
        video_id, folder, caption = (
            text_of(row.cells.get(name), where=row.where, column=name)
            for name in ("videoid", "page_dir", "name")
        )
        is_inside = folder is not None and not folder.startswith("/") and ".." not in folder.split("/")
        folders = (folder,) if folder is not None and is_inside else ()
        entry = reading.videos.by_id(video_id, where=row.where, folders=folders)
        yield replace(entry, captions=() if caption is None else (caption,))


FORMAT = Format(
    title="WebVid's list",
    example="videoid,contentUrl,duration,page_dir,name\n"
    '21179416,https://…,PT00H00M11S,006001_006050,"Aerial shot, winter forest"',
    fits=fits,
    entries=entries,
)
