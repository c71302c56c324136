"""Lines of ``path start end`` or ``path start end label``, with spaces or commas: segments of videos."""

from dataclasses import replace

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry
from vfm.video2token.sources.lists.cells import seconds_of
from vfm.video2token.sources.lists.list_file import Line, ListFile
from vfm.video2token.sources.lists.list_format import Format, each_line
from vfm.video2token.sources.lists.path_lines import are_integers, cut_line, named_video
from vfm.video2token.sources.lists.reading import Reading


def fits(found: ListFile) -> bool:
    """Return whether all lines have two ascending times, and a label or none."""
    cuts = [cut_line(line)[1] for line in found.head]
    return bool(cuts) and all(_is_segment(cut) for cut in cuts)


def _is_segment(numbers: list[str]) -> bool:
    return len(numbers) in (2, 3) and are_integers(numbers[2:]) and 0 <= float(numbers[0]) < float(numbers[1])


def _entry(line: Line, reading: Reading) -> Entry:
    path, numbers = cut_line(line.text)
    if len(numbers) not in (2, 3) or not are_integers(numbers[2:]):
        raise UsageError(f"{line.where} is not a path, two times in seconds and a label or none: fix it.")
    start_s, end_s = (seconds_of(number, where=line.where, column="time") for number in numbers[:2])
    entry = named_video(path, where=line.where, reading=reading, labels=numbers[2:])
    return replace(entry, start_s=start_s, end_s=end_s)


FORMAT = Format(
    title="a list of path, begin and end in seconds, and label",
    example="v/a.mp4 0.0 4.5 1\nv/a.mp4 7.2 12.0 0",
    fits=fits,
    entries=each_line(_entry),
    is_common=True,
)
