"""Names of classes and their order, for lists that write numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from vfm.shards.encoding import decode_utf8
from vfm.shards.errors import UsageError
from vfm.shards.format.classes import in_order, is_integer
from vfm.video2token.sources.class_files import (
    ClassFile,
    Numbered,
    fault_of_numbers,
    parse_class_file,
    value_of,
)
from vfm.video2token.sources.entry import Entry, refuse_unreadable

_MAX_BYTES = 1 << 26
_MAX_DIGITS = 9  # of the number of a class
_NUM_TOLD = 3  # of many missing numbers that a sentence names


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassList:
    """The classes of a published list.

    Attributes:
        names: in the order of their index.
        by_number: the name of each class by what lists write for it, as text: its number, and what the file
            of classes itself writes where that is another text, such as ``c007``.
        told: what was read in which way, such as ``101 classes of classInd.txt, numbered from 1``.
    """

    names: tuple[str, ...]
    by_number: Mapping[str, str]
    told: str


def read_classes(path: Path) -> ClassList:
    """Return the classes of a file, each kind of which ``docs/reference/sources.md`` describes.

    Raises:
        UsageError: there is no such file, it is of no known kind or of two, its numbers are neither 0 to N-1
            nor 1 to N, or a class or a number is there twice.
        MachineError: it may not be read.
    """
    found = parse_class_file(_text(path), path=path)
    classes = _sorted(found, path=path)
    first = value_of(classes[0].number)
    return ClassList(
        names=tuple(each.name for each in classes),
        by_number={
            **{str(first + place): each.name for place, each in enumerate(classes)},
            **{each.number: each.name for each in classes},
        },
        told=f"{_counted(len(classes))} of {path.name}, {_told(classes, found)}",
    )


def name_labels(entries: Iterable[Entry], *, classes: ClassList | None) -> Iterator[Entry]:
    """Yield the entries with the names of their classes; without ``classes`` labels stay as they are.

    Raises:
        UsageError: a label that is neither the number nor the name of a class, or is those of two.
    """
    if classes is None:
        yield from entries
        return
    names = set(classes.names)
    known = {**{name: name for name in names}, **classes.by_number}
    for entry in entries:
        for label in entry.labels:
            if label not in known:
                _refuse_label(label, classes, where=entry.where)
            if known[label] != label and label in names:
                raise UsageError(
                    f"{entry.where}: the label {label!r} is the number of the class {known[label]!r} and the "
                    "name of another: number the --classes file by the names, or give it others."
                )
        yield replace(entry, labels=tuple(known[label] for label in entry.labels))


def class_order(
    labels: Iterable[str], *, classes: ClassList | None, num_classes: int | None
) -> tuple[str, ...]:
    """Return the classes of a dataset in the order of their index.

    Args:
        labels: of all samples, by name where ``classes`` names them.
        classes: their names are the classes, all of them, in their order.
        num_classes: for labels that are integers: the classes are 0 to ``num_classes - 1``.

    Returns:
        The names of ``classes``; else integers from 0 without gaps; else the labels `in_order`.

    Raises:
        UsageError: integers with gaps that nothing explains, or a ``num_classes`` that does not fit.
    """
    every = list(labels)
    distinct = in_order(every)
    if classes is not None:
        if num_classes is not None:
            raise UsageError(f"--num-classes {num_classes} is given beside {classes.told}: leave it out.")
        return classes.names
    are_integers = _are_integers(distinct)
    if num_classes is not None:
        return _counted_out(distinct, num_classes, are_integers=are_integers)
    if are_integers and distinct[-1] != str(len(distinct) - 1):
        _refuse_gaps(distinct, do_repeat=len(distinct) < len(every))
    return distinct


def _are_integers(labels: Sequence[str]) -> bool:
    """Return whether labels in their order are the numbers of classes; refuse numbers that no class has."""
    below = [label for label in labels if label.startswith("-") and is_integer(label[1:])]
    if below and all(is_integer(label.removeprefix("-")) for label in labels):
        raise UsageError(
            f"The label {below[0]} is below 0, and classes count from 0: leave out labels that are not known."
        )
    if not labels or not all(map(is_integer, labels)):
        return False
    if len(labels[-1]) > _MAX_DIGITS:
        raise UsageError(
            f"The label {labels[-1]:.20} has {len(labels[-1])} digits, too many for the number of a class: "
            "name the classes with --classes FILE."
        )
    return True


def _counted_out(labels: Sequence[str], num_classes: int, *, are_integers: bool) -> tuple[str, ...]:
    """Return the classes 0 to ``num_classes - 1``."""
    if not are_integers:
        strange = next((f"the label {label!r} is none" for label in labels if not is_integer(label)), None)
        raise UsageError(
            f"--num-classes {num_classes} is for labels that are the numbers 0 to {num_classes - 1}, and "
            f"{strange or 'no video has a label'}: leave it out, or name the classes with --classes."
        )
    if int(labels[-1]) >= num_classes:
        raise UsageError(
            f"The label {labels[-1]} is none of the {_counted(num_classes)} 0 to {num_classes - 1}: correct "
            f"the list, or use --num-classes {int(labels[-1]) + 1}."
        )
    return tuple(map(str, range(num_classes)))


def _refuse_gaps(labels: Sequence[str], *, do_repeat: bool) -> NoReturn:
    """Refuse integers, ascending, of which some number from 0 up does not occur."""
    there, num_classes = set(labels), int(labels[-1]) + 1
    absent = [
        number for number in map(str, range(min(num_classes, len(labels) + _NUM_TOLD))) if number not in there
    ]
    more = num_classes - len(labels) - _NUM_TOLD
    told = ", ".join(absent[:_NUM_TOLD]) + (f" and {more} more" if more > 0 else "")
    start = ", as in a list that counts from 1" if labels[0] == "1" else ""
    from_1 = ", which may count from 1 (`1 Archery`)," if labels[0] == "1" else ""
    are_counts = len(labels) > 1 and labels[0] not in {"0", "1"} and not do_repeat
    doubt = " (or are they numbers of frames? none occurs twice)" if are_counts else ""
    raise UsageError(
        f"The labels are the integers {labels[0]} to {labels[-1]}{doubt}, and no video has {told}{start}: "
        f"name the classes with --classes FILE{from_1} or say how many there are, such as --num-classes "
        f"{num_classes}."
    )


def _refuse_label(label: str, classes: ClassList, *, where: str) -> NoReturn:
    first = 0 if "0" in classes.by_number else 1
    last = first + len(classes.names) - 1
    if label == "0":
        raise UsageError(
            f"{where}: the label 0 counts classes from 0, and the --classes file from 1 ({classes.told}): "
            "if its first class is 0 in the list, write the names alone, one on each line."
        )
    counts = ", which a list that counts from 1 would have" if first == 0 and label == str(last + 1) else ""
    raise UsageError(
        f"{where}: the label {label!r} is not one of the {len(classes.names)} classes ({first} to "
        f"{last}){counts}: fix the list or the --classes file."
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder: name a file with one class per line.") from None
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path} does not exist: name a file with one class per line.") from None
    except OSError as error:
        refuse_unreadable(error)
    if len(data) > _MAX_BYTES:
        raise UsageError(
            f"{path} is larger than {_MAX_BYTES >> 20} MiB: name a file with one class per line."
        )
    return decode_utf8(data, name=str(path))


def _sorted(found: ClassFile, *, path: Path) -> list[Numbered]:
    """Return the classes in the order of their numbers; refuse what cannot be numbered so."""
    named: dict[str, Numbered] = {}
    for each in found.classes:
        if not each.name:
            raise UsageError(f"{path} {each.where} has no name: name every class.")
        twin = named.setdefault(each.name, each)
        if twin is not each:
            told = f" ({twin.number} and {each.number})" if found.is_numbered else ""
            raise UsageError(
                f"{path} {each.where} has the class {each.name!r} of {twin.where} again{told}: keep one."
            )
    classes = sorted(found.classes, key=lambda each: value_of(each.number))
    values = [value_of(each.number) for each in classes]
    if values[0] > 1 or values != list(range(values[0], values[0] + len(values))):
        wrong = fault_of_numbers([(each.number, each.name) for each in found.classes])
        raise UsageError(
            f"{path} numbers its classes, and {wrong}: number them from 0 or from 1 without gaps."
        )
    return classes


def _told(classes: Sequence[Numbered], found: ClassFile) -> str:
    if not found.is_numbered:
        return f"one a {found.classes[0].where.split()[0]}, the first is 0"
    if classes[0].number.isdigit():
        return f"numbered from {value_of(classes[0].number)}"
    return f"{classes[0].number} to {classes[-1].number}"


def _counted(num_classes: int) -> str:
    return f"{num_classes} {'class' if num_classes == 1 else 'classes'}"
