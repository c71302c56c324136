"""The order of classes: a class index is a position in it."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable

_INTEGER = re.compile(r"0|[1-9][0-9]*")


def is_integer(label: str) -> bool:
    """Return whether a label is a plain non-negative integer, such as ``7``; ``07`` and ``-1`` are texts."""
    return _INTEGER.fullmatch(label) is not None


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Return each label once: as numbers sort where all are plain non-negative integers, else as texts do."""
    distinct = set(labels)
    if all(map(is_integer, distinct)):
        # Without leading zeros the longer number is the larger, however long it is.
        return tuple(sorted(distinct, key=lambda label: (len(label), label)))
    return tuple(sorted(distinct))


def classes_json(classes: Iterable[str]) -> str:
    """Return classes as a JSON list in ASCII, which holds names that are not UTF-8, too."""
    return json.dumps(list(classes))


def parse_classes(stored: bytes, *, labels: Collection[str]) -> tuple[str, ...]:
    """Return the classes in what `classes_json` gave.

    Args:
        stored: the JSON list.
        labels: those that occur, which must be among the classes.

    Raises:
        ValueError: it is not such a list, has a name twice or lacks a label; a clause.
    """
    try:
        classes = json.loads(stored)
    except RecursionError:
        classes = None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError("its classes are not a list of names")
    if (twice := first_twice(classes)) is not None:
        raise ValueError(f"it has the class {twice!r} twice")
    if strange := sorted(set(labels).difference(classes)):
        raise ValueError(f"the label {strange[0]!r} is none of its classes")
    return tuple(classes)


def first_twice(names: Iterable[str]) -> str | None:
    """Return a name that is there a second time, the first of them; None where each is there once."""
    return next((name for name, count in Counter(names).items() if count > 1), None)
