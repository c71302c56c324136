"""Questions of which one of a few sentences tells what a video shows, read from a file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfm.shards.encoding import decode_utf8
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.json import parse_json

_SENTENCES = ("caption", "captions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A video, and sentences of which one is right.

    Attributes:
        video: how the file names it.
        choices: the sentences, two or more.
        answer: the place of the right one, from 0.
    """

    video: str
    choices: tuple[str, ...]
    answer: int


def read_questions(path: Path) -> tuple[Question, ...]:
    """Return the questions of a file of JSON Lines, or of a JSON list, as MSR-VTT's multiple choice is.

    Each has `video`, a name; `caption` (or `captions`), a list of sentences; and `answer`, the place of the
    right one, counted from 0. Other keys are not looked at.

    Raises:
        UsageError: no such file, or one of something else.
        MachineError: it cannot be read.
    """
    with disk_faults(path):
        if not path.is_file():
            raise UsageError(f"{path} is no file: name the questions with --choices, as JSON Lines.")
        text = decode_utf8(path.read_bytes(), name=str(path))
    found = tuple(_question(values, where=where) for where, values in _entries(text, path=path))
    if not found:
        raise UsageError(f"{path} holds no question: give one a line, or a JSON list of them.")
    return found


def _entries(text: str, *, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield where each entry is, and its values."""
    if text.lstrip().startswith("["):
        for number, values in enumerate(_parsed(text, where=str(path)), 1):
            yield f"{path}, question {number}", values
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _parsed(line, where=where)


def _parsed(text: str, *, where: str) -> Any:
    try:
        return parse_json(text.encode(), name=where)
    except DamageError as damage:
        reason = damage.__cause__
        at = f" ({reason})" if isinstance(reason, json.JSONDecodeError) else ""
        raise UsageError(
            f"{where} is not JSON{at}: give one question a line, or a JSON list of them."
        ) from None


def _question(values: Any, *, where: str) -> Question:
    if not isinstance(values, dict):
        raise UsageError(f"{where} is no JSON object: give it video, caption and answer.")
    video, answer = values.get("video"), values.get("answer")
    named = [name for name in _SENTENCES if name in values]
    if not isinstance(video, str) or not video:
        raise UsageError(f"{where} has {video!r} as video: name one, as the list that was extracted did.")
    if len(named) != 1:
        raise UsageError(f"{where} has {' and '.join(named) or 'no caption'}: give the sentences as caption.")
    choices = values[named[0]]
    are_sentences = isinstance(choices, list) and all(
        isinstance(each, str) and each.strip() for each in choices
    )
    if not are_sentences or len(choices) < 2:  # noqa: PLR2004 (one is no choice)
        raise UsageError(f"{where} needs two sentences or more, none of them empty, and has {choices!r}.")
    if type(answer) is not int or not 0 <= answer < len(choices):
        raise UsageError(
            f"{where} has the answer {answer!r}: give the place of the right one, 0 to {len(choices) - 1}."
        )
    return Question(video=video, choices=tuple(choices), answer=answer)
