"""Files of classes as datasets publish them: one a line, with numbers or codes, in CSV and in JSON."""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vfm.shards.errors import UsageError

_NUMBER = re.compile(r"[0-9]{1,9}")
_GAP = r"(?:\s*[,;\t]\s*|[.):]?\s+)"
_NUMBER_FIRST = re.compile(rf"([0-9]{{1,9}}){_GAP}(\S.*)")
_CODE_FIRST = re.compile(rf"(([A-Za-z]+)[0-9]{{1,9}}){_GAP}(\S.*)")
_NUMBER_LAST = re.compile(r"(\S.*?)\s*[,;\t]\s*([0-9]{1,9})")
_AS_LIST = "write the names as a JSON list"
_KINDS = (
    "name a file with one class per line, lines such as `1 Archery`, CSV with the columns id and name, or "
    "JSON of numbers and names"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A class as a file writes it.

    Attributes:
        number: digits, or a code that ends in digits; where the file has none, the place from 0.
        name: of the class, without space around it.
        where: such as ``line 7``, for sentences.
    """

    number: str
    name: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFile:
    """What a file of classes holds, in its order; nothing was compared yet.

    Attributes:
        classes: at least one.
        is_numbered: whether the file says the numbers itself.
    """

    classes: Sequence[Numbered]
    is_numbered: bool


def parse_class_file(text: str, *, path: Path) -> ClassFile:
    """Return the classes in the text of a file.

    Args:
        text: of the whole file.
        path: for sentences; a file called ``.csv`` or ``.json`` is read as what it is called.

    Raises:
        UsageError: it can be understood in two ways, or in none; one sentence.
    """
    if not text.strip():
        raise UsageError(f"{path} is empty: write one class per line.")
    if path.suffix.lower() == ".json" or text.lstrip().startswith(("{", "[")):
        return _of_json(text, path=path)
    lines = [line.strip() for line in io.StringIO(text, newline=None).read().removesuffix("\n").split("\n")]
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    for place, line in enumerate(lines, 1):
        if not line:
            raise UsageError(f"{path} line {place} is blank: write one class on each line.")
    if delimiter := _delimiter(lines[0]):
        return _of_table(text, delimiter, path=path)
    found = _of_numbered_lines(lines, path=path) or _of_coded_lines(lines, path=path)
    if found is None and path.suffix.lower() == ".csv" and any("," in line for line in lines):
        raise UsageError(f"{path} does not begin with a header such as id,name: add one, or {_AS_LIST}.")
    return found or _plain(lines)


def _plain(names: Sequence[str], *, what: str = "line") -> ClassFile:
    classes = [
        Numbered(number=str(place), name=name.strip(), where=f"{what} {place + 1}")
        for place, name in enumerate(names)
    ]
    return ClassFile(classes=classes, is_numbered=False)


def _of_numbered_lines(lines: Sequence[str], *, path: Path) -> ClassFile | None:
    """Return the classes of lines ``N name`` or ``name,N``; None where no line has a number."""
    found = [_NUMBER_FIRST.fullmatch(line) for line in lines]
    pairs = [(each[1], each[2]) for each in found if each]
    if not pairs:
        ends = [_NUMBER_LAST.fullmatch(line) for line in lines]
        pairs = [(each[2], each[1]) for each in ends if each]
        if len(pairs) < len(lines):
            return None
    elif None in found:
        without, with_ = found.index(None), next(place for place, each in enumerate(found) if each)
        raise UsageError(
            f"{path} line {with_ + 1} ({lines[with_]!r}) begins with a number and line {without + 1} "
            f"({lines[without]!r}) with none: number each line, or, if {pairs[0][0]} is part of a name, "
            f"{_AS_LIST}."
        )
    return _numbered(pairs, path=path)


def _of_coded_lines(lines: Sequence[str], *, path: Path) -> ClassFile | None:
    """Return the classes of lines such as ``c000 Holding some clothes``, None where not each is one."""
    found = [_CODE_FIRST.fullmatch(line) for line in lines]
    codes = [each for each in found if each]
    if len(lines) < 2 or len(codes) < len(lines) or len({each[2] for each in codes}) > 1:
        return None
    return _numbered([(each[1], each[3]) for each in codes], path=path)


def _numbered(pairs: Sequence[tuple[str, str]], *, path: Path) -> ClassFile:
    """Return the classes of lines; refuse numbers that may be parts of names."""
    values = [value_of(number) for number, _ in pairs]
    if sorted(values) not in (list(range(len(values))), list(range(1, len(values) + 1))):
        wrong = fault_of_numbers(pairs)
        raise UsageError(
            f"{path} has a number on each line, and {wrong}: number from 0 or from 1 without gaps, or, if "
            f"the numbers are parts of names, {_AS_LIST}."
        )
    classes = [
        Numbered(number=number, name=_unquoted(name), where=f"line {place}")
        for place, (number, name) in enumerate(pairs, 1)
    ]
    return ClassFile(classes=classes, is_numbered=True)


def value_of(number: str) -> int:
    """Return the number that a number or code ends in: 7 of ``7`` and of ``c007``."""
    return int(number.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))


def fault_of_numbers(pairs: Sequence[tuple[str, str]]) -> str:
    """Return in a clause why numbers of classes are neither 0 to N-1 nor 1 to N."""
    seen: dict[int, str] = {}
    for number, name in pairs:
        if value_of(number) in seen:
            return f"{number} is the number of {seen[value_of(number)]!r} and of {name!r}"
        seen[value_of(number)] = name
    first = min(seen) if min(seen) <= 1 else 0
    missing = next(value for value in range(first, first + len(seen) + 1) if value not in seen)
    return f"{missing} is missing, as they are {min(seen)} to {max(seen)}"


def _unquoted(name: str) -> str:
    """Return what CSV means by a name in quotes."""
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        return name[1:-1].replace('""', '"').strip()
    return name


def _delimiter(header: str) -> str | None:
    """Return what stands between the columns of a header with ``id`` and a name; None where it is none."""
    for delimiter in ",;\t":
        cells = _cells(header, delimiter)
        if "id" in cells and {"name", "key"} & set(cells):
            return delimiter
    return None


def _cells(header: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in header.split(delimiter)]


def _of_table(text: str, delimiter: str, *, path: Path) -> ClassFile:
    """Return the classes of CSV with the columns ``id`` and ``name``, else ``key``."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    classes = []
    try:
        header = [cell.strip().lower() for cell in next(reader)]
        number, name = header.index("id"), header.index("name" if "name" in header else "key")
        for row in reader:
            where = f"line {reader.line_num}"
            if not row:  # the last line
                continue
            if len(row) != len(header):
                raise UsageError(
                    f"{path} {where} has {len(row)} cells and the header {len(header)}: correct it."
                )
            classes.append(_checked(row[number].strip(), row[name].strip(), where=where, path=path))
    except csv.Error as error:
        raise UsageError(f"{path} line {reader.line_num} is not CSV ({error}): correct it.") from None
    if not classes:
        raise UsageError(f"{path} has a header and no classes: write one class per line.")
    return ClassFile(classes=classes, is_numbered=True)


def _checked(number: str, name: str, *, where: str, path: Path) -> Numbered:
    if not _NUMBER.fullmatch(number):
        raise UsageError(f"{path} {where} has {number!r} as a class number: write 0, 1, 2 and so on.")
    return Numbered(number=number, name=name, where=where)


class _Object(list[tuple[str, object]]):
    """The pairs of a JSON object, in their order and with those that are there twice."""


def _of_json(text: str, *, path: Path) -> ClassFile:
    try:
        value = json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}): correct it, or {_KINDS}.") from None
    if value in ([], _Object()):
        raise UsageError(f"{path} is empty: {_KINDS}.")
    if isinstance(value, _Object):
        return _of_object(value, path=path)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return _plain(value, what="class")
    if isinstance(value, list) and all(_is_list_of_words(each) for each in value):
        return _plain([" ".join(each) for each in value], what="class")
    raise _other_json(path, "neither a list of names nor an object of names and numbers")


def _is_list_of_words(value: object) -> bool:
    is_list = isinstance(value, list) and not isinstance(value, _Object)
    return is_list and all(isinstance(word, str) for word in value)  # type: ignore[attr-defined]


def _of_object(pairs: _Object, *, path: Path) -> ClassFile:
    by_name = all(_is_number(value) for _, value in pairs)
    by_number = all(_is_number(key) and isinstance(value, str) for key, value in pairs)
    if by_name and by_number and any(str(value) != key for key, value in pairs):
        raise _other_json(path, "an object of numbers to numbers, of which either may be the names")
    if not by_name and not by_number:
        strange = next((each for each in pairs if not (_is_number(each[1]) or _is_number(each[0]))), pairs[0])
        raise _other_json(path, f"an object in which {strange[0]!r} has no number and is none")
    order: Callable[[str, str], tuple[str, str]] = (lambda a, b: (b, a)) if by_name else (lambda a, b: (a, b))
    classes = [
        Numbered(number=number, name=name.strip(), where=f"class {place}")
        for place, (number, name) in enumerate((order(key, str(value)) for key, value in pairs), 1)
    ]
    return ClassFile(classes=classes, is_numbered=True)


def _is_number(value: object) -> bool:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return (is_integer or isinstance(value, str)) and _NUMBER.fullmatch(str(value)) is not None


def _other_json(path: Path, what: str) -> UsageError:
    return UsageError(f"{path} is {what}: {_KINDS}.")
