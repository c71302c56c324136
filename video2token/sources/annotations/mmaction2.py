"""MMAction2's text lists of videos: lines ``path``, ``path label`` or ``path label1 label2``.

Source: the documentation of MMAction2 on annotation files of its VideoDataset.
"""

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry, is_media
from vfm.video2token.sources.lists.list_file import Line, ListFile
from vfm.video2token.sources.lists.list_format import Format, each_line
from vfm.video2token.sources.lists.path_lines import are_integers, cut_line, has_commas, named_video
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether the first line is a video and integers, or a name and one integer."""
    if not found.head or found.path.suffix.lower() == ".csv" or has_commas(found.head[0]):
        return False
    path, labels = cut_line(found.head[0])
    if is_media(path):
        return are_integers(labels)
    has_word = is_media(path.split()[0])  # a label that is a word is told when it is read
    return has_word or (len(labels) == 1 and are_integers(labels) and not path.count(" "))


def _entry(line: Line, reading: Reading) -> Entry:
    # The integers at the end of a line are labels, so that a path may hold spaces.
    path, labels = cut_line(line.text)
    words = path.split()
    if not is_media(path) and (len(labels) > 1 or not are_integers(labels)):
        raise UsageError(
            f"{line.where} is not a video and its labels: fix it, or read the whole list as path, number of "
            "frames and label with --format mmaction2-frames."
        )
    if not is_media(path) and any(map(is_media, words[:-1])):
        raise UsageError(
            f"{line.where}: the label {words[-1]!r} is not an integer: write integers and name them with "
            "--classes, or use a CSV list with the columns path,label."
        )
    return named_video(path, where=line.where, reading=reading, labels=labels)


FORMAT = Format(
    title="MMAction2's list of videos and labels",
    example="v/a.mp4 1\nv/cam 1.mp4 0",
    fits=fits,
    entries=each_line(_entry),
    is_common=True,
)
