"""Lists of ``path number_of_frames label``, as of MMAction2's RawframeDataset, TSN and VideoMAE.

They are written for folders of pictures; the videos of the same names are meant here, with or without a
suffix. The number of frames is left unread. Source: the documentation of MMAction2 on annotation files.
"""

from collections.abc import Iterator

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.list_file import Line, ListFile
from vfm.video2token.sources.lists.list_format import Format, each_line
from vfm.video2token.sources.lists.path_lines import are_integers, cut_line, named_video
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether all lines have a number above 0 and a label."""
    cuts = [cut_line(line)[1] for line in found.head]
    return bool(cuts) and all(len(cut) > 1 and are_integers(cut) and int(cut[0]) > 0 for cut in cuts)


def entries(found: ListFile, reading: Reading) -> Iterator[Entry]:
    """Yield the videos with their labels.

    Raises:
        UsageError: a line of another shape.
    """
    reading.say("the first number of each line is left unread: it is how many frames the video has.")
    yield from each_line(_entry)(found, reading)


def _entry(line: Line, reading: Reading) -> Entry:
    path, numbers = cut_line(line.text)
    if len(numbers) < 2 or not are_integers(numbers):
        raise UsageError(f"{line.where} is not a path, a number of frames and a label: fix it.")
    return named_video(path, where=line.where, reading=reading, labels=numbers[1:])


FORMAT = Format(
    title="a list of path, number of frames and label",
    example="v/a 250 1\nv/b 163 0",
    fits=fits,
    entries=entries,
    is_common=True,
)
