"""A file of YAML into JSON values: text, numbers, true, false, null, lists and sections, nothing else.

The events of PyYAML's parser are read and none of its constructors used, so nothing that a file says is run
or repeated. Plain words are what the core schema of YAML 1.2 makes of them, in which ``1e-3`` is a number and
``no`` and ``2026-01-01`` are text; ``none`` is null, as in ``--set``.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from vfm.shards.errors import UsageError

SUFFIXES = (".yaml", ".yml")
_MAX_BYTES, _MAX_DEPTH = 2**16, 8  # a recipe has some 8 KB, and sections in sections of it
_NULL = re.compile(r"|~|null|Null|NULL|none|None|NONE")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the values of a file, each key once.

    Raises:
        UsageError: there is no such file, it is not YAML of text in UTF-8, or it holds anything but sections,
            lists and plain values.
    """
    text = _read_text(path)
    try:
        return _Document(path, text).values()
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "it holds a character that no text has"
        raise UsageError(f"{path}{_line_of(error, text)} is not YAML: {problem}; correct it there.") from None


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"There is no file {path}: `vfm recipes show NAME --yaml` prints one to begin with.")
    with path.open("rb") as file:
        stored = file.read(_MAX_BYTES + 1)
    if len(stored) > _MAX_BYTES:
        raise UsageError(f"{path} has more than {_MAX_BYTES} bytes, which no recipe has: name another file.")
    try:
        return stored.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text in UTF-8: name the YAML of a recipe.") from None


def _line_of(error: yaml.YAMLError, text: str) -> str:
    mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
    if mark is not None:
        return f", line {mark.line + 1},"
    return "" if position is None else f", line {text.count(chr(10), 0, position) + 1},"


class _Document:
    """The one document of a file.

    Args:
        path: for messages.
        text: of the file.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)

    def values(self) -> dict[str, Any]:
        """Return the sections of the document."""
        next(self._events)  # the stream's beginning
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise UsageError(
                f"{self._path} is empty: `vfm recipes show NAME --yaml` prints a recipe to begin with."
            )
        event = next(self._events)
        value = self._value(event, depth=0)
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else "one value"
            self._refuse(event, f"{kind} stands where the keys of a recipe are wanted: write `name: ...`")
        next(self._events)  # the document's end
        if not isinstance(event := next(self._events), yaml.StreamEndEvent):
            self._refuse(event, "a second document begins, and a file holds one recipe: remove it")
        return value

    def _value(self, event: Any, *, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._refuse(event, f"the anchor or alias {event.anchor} is not allowed: write the value out")
        if event.tag is not None:
            self._refuse(event, f"the tag {event.tag} is not allowed: write a plain value")
        if depth > _MAX_DEPTH:
            self._refuse(event, "lists or sections are nested deeper than in any recipe: remove some")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value) if event.style is None else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return [
                self._value(item, depth=depth + 1) for item in _until(self._events, end=yaml.SequenceEndEvent)
            ]
        return self._section(depth=depth)

    def _section(self, *, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in _until(self._events, end=yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
                self._refuse(event, "a key is not plain text: write `key: value`")
            if event.value in found:
                self._refuse(event, f"the key {event.value} stands here a second time: remove one of the two")
            found[event.value] = self._value(next(self._events), depth=depth + 1)
        return found

    def _refuse(self, event: Any, sentence: str) -> NoReturn:
        raise UsageError(f"{self._path}, line {event.start_mark.line + 1}: {sentence}.")


def _until(events: Iterator[Any], *, end: type) -> Iterator[Any]:
    """Yield events up to one that ends a list or a section; others may be taken in between."""
    while not isinstance(event := next(events), end):
        yield event


def _scalar(word: str) -> Any:
    """Return what a word without quotes means."""
    if _NULL.fullmatch(word):
        return None
    if _BOOL.fullmatch(word):
        return word.lower() == "true"
    if _INT.fullmatch(word):
        return int(word)
    if _FLOAT.fullmatch(word):
        return float(word)
    return float(word.replace(".", "")) if _NOT_FINITE.fullmatch(word) else word
