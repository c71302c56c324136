"""Names of classes, for lists that write integers."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import Entry, refuse_unreadable


def read_classes(path: Path) -> tuple[str, ...]:
    """Return the names that a file has, one on each line; the first is the class 0, the last may be blank.

    Raises:
        UsageError: there is no such file, it has a blank line, or one name twice.
        MachineError: it may not be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        raise UsageError(f"{path} does not exist: name a file with one class per line.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error}): re-save it as UTF-8.") from None
    except OSError as error:
        refuse_unreadable(error)
    names = [line.strip() for line in lines]
    if names and not names[-1]:
        names.pop()
    for number, name in enumerate(names, 1):
        if not name:
            raise UsageError(f"{path} line {number} is blank: write one class on each line.")
        if (first := names.index(name) + 1) != number:
            raise UsageError(f"{path} line {number} has the class {name!r} of line {first} again: keep one.")
    if not names:
        raise UsageError(f"{path} is empty: write one class per line.")
    return tuple(names)


def name_labels(entries: Iterable[Entry], *, classes: tuple[str, ...]) -> Iterator[Entry]:
    """Yield the entries with the names of their classes; without ``classes`` labels stay as they are.

    Raises:
        UsageError: a label that is neither a position in ``classes`` nor one of them.
    """
    if not classes:
        yield from entries
        return
    known = {name: name for name in classes} | {str(index): name for index, name in enumerate(classes)}
    for entry in entries:
        if strange := [label for label in entry.labels if label not in known]:
            raise UsageError(
                f"{entry.where}: the label {strange[0]!r} is not one of the {len(classes)} classes (0 to "
                f"{len(classes) - 1}): fix the list or the --classes file."
            )
        yield replace(entry, labels=tuple(known[label] for label in entry.labels))
