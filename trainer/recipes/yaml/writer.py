"""A recipe as YAML for people to edit: every key below what it means, in the sections of `to_dict`."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vfm.trainer.recipes.explained import explained
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import to_dict

_WIDTH = 100  # letters of a comment's line
_INDENT = "  "
# Words that no version of YAML takes for anything but text, nor for a part of its syntax.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./*-]*")
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none"})


def to_yaml(recipe: Recipe, *, head: Sequence[str] = ()) -> str:
    """Return the recipe as YAML; `open_recipe` gives it back exactly.

    Args:
        recipe: what to write.
        head: paragraphs that stand above it as comments.
    """
    lines = [line for paragraph in head for line in _comment(paragraph, indent="")]
    body = _section(to_dict(recipe), explained(recipe), prefix="")
    return "\n".join([*lines, *([""] if lines else []), *body]) + "\n"


def _section(values: Mapping[str, Any], told: Mapping[str, str], *, prefix: str) -> Iterator[str]:
    indent = _INDENT * prefix.count(".")
    was_section = False
    for key, value in values.items():
        dotted, is_section = f"{prefix}{key}", isinstance(value, dict)
        if is_section or was_section:
            yield ""
        was_section = is_section
        # None is Python's word; the file says null.
        yield from _comment(re.sub(r"\bNone\b", "null", told.get(dotted, "")), indent=indent)
        if is_section and value:
            yield f"{indent}{key}:"
            yield from _section(value, told, prefix=f"{dotted}.")
        else:
            yield f"{indent}{key}: {'{}' if is_section else _written(value)}"


def _comment(text: str, *, indent: str) -> list[str]:
    mark = f"{indent}# "
    return textwrap.wrap(
        text,
        width=_WIDTH,
        initial_indent=mark,
        subsequent_indent=mark,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _written(value: Any) -> str:
    """Return a value as every version of YAML reads it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, float):
        # YAML 1.1 takes 1e-05 for text, and 1.0e-05 for a number.
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    if not isinstance(value, str):
        return str(value)
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
    return value if is_plain else _quoted(value)


def _quoted(text: str) -> str:
    letters = (
        letter if " " <= letter <= "~" and letter not in '"\\' else f"\\U{ord(letter):08x}" for letter in text
    )
    return f'"{"".join(letters)}"'
