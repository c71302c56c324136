"""Text lists in the style of MMAction2: lines ``path``, ``path label`` or ``path label1 label2``."""

from collections.abc import Iterator
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.sources.cells import locate
from vfm.video2token.sources.entry import Entry, ListOptions, is_video, refuse_unreadable


def read(path: Path, options: ListOptions) -> Iterator[Entry]:
    """Yield the lines of a list.

    Labels are the integers at the end of a line, so that a path may hold spaces.

    Args:
        path: absolute.
        options: how lists are read; its ``classes`` name the integers.

    Raises:
        UsageError: it is not such a list; the sentence names the line.
        MachineError: it may not be read.
    """
    root = str(options.root_of(path))
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _entry(line.strip(), root=root, where=f"{path} line {number}")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error}): re-save it as UTF-8.") from None
    except PermissionError as error:
        refuse_unreadable(error)


def _entry(line: str, *, root: str, where: str) -> Entry:
    named, labels = line, list[str]()
    while (cut := named.rsplit(maxsplit=1)) and len(cut) == 2 and _is_integer(cut[1]):
        named = cut[0]
        labels.insert(0, cut[1])
    if not is_video(named):
        _refuse_other_style(named, num_labels=len(labels), where=where)
    file, name = locate(named, root=root, where=where)
    return Entry(path=file, name=name, where=where, labels=tuple(labels))


def _is_integer(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit()


def _refuse_other_style(named: str, *, num_labels: int, where: str) -> None:
    """Refuse what only looks like ``path label``: frames in a folder, and labels that are words."""
    if num_labels > 1:
        raise UsageError(
            f"{where} names a folder of pictures (path, number of frames, label), and vfm decodes videos: "
            "list the videos themselves as `path label`."
        )
    words = named.split()
    if any(is_video(word) for word in words[:-1]):
        raise UsageError(
            f"{where}: the label {words[-1]!r} is not an integer: write integers and name them with "
            "--classes, or use a CSV list with the columns path,label."
        )
