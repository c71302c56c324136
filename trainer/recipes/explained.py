"""What each key of a recipe means, read from the docstrings of the dataclasses that it is made of."""

import re
from dataclasses import fields, is_dataclass
from inspect import cleandoc
from typing import Any

_ENTRY = re.compile(r"    (\w+): (.*)")
_HEADING = "Attributes:"


def explanations(cls: type) -> dict[str, str]:
    """Return what the ``Attributes:`` of a dataclass, and of its bases, say of each field that has an entry.

    An entry of the class itself replaces that of a base. Each is one line, without marks of markup.
    """
    found: dict[str, str] = {}
    for base in reversed([base for base in cls.__mro__ if is_dataclass(base)]):
        found.update(_entries(cleandoc(base.__doc__ or "")))
    return {field.name: found[field.name] for field in fields(cls) if field.name in found}


def summary(cls: type) -> str:
    """Return in one line what a dataclass says of itself before its ``Attributes:``."""
    prose = cleandoc(cls.__doc__ or "").partition(f"\n{_HEADING}\n")[0]
    return _plain(" ".join(prose.split()))


def explained(value: Any, *, prefix: str = "") -> dict[str, str]:
    """Return what each key below a recipe means; keys are dotted: ``optim.lr``.

    A section, such as ``optim``, is explained by what its dataclass says of itself.
    """
    own = explanations(type(value))
    found: dict[str, str] = {}
    for field in fields(value):
        inner, key = getattr(value, field.name), f"{prefix}{field.name}"
        if is_dataclass(inner):
            found[key] = summary(type(inner))
            found.update(explained(inner, prefix=f"{key}."))
        elif field.name in own:
            found[key] = own[field.name]
    return found


def _entries(docstring: str) -> dict[str, str]:
    """Return the entries of the ``Attributes:`` of a docstring, whose first line is not indented."""
    found: dict[str, list[str]] = {}
    name = None
    for line in docstring.partition(f"\n{_HEADING}\n")[2].splitlines():
        if line and not line.startswith(" "):
            break
        if entry := _ENTRY.fullmatch(line):
            name, text = entry.groups()
            found[name] = [text]
        elif name is not None:
            found[name].append(line)
    return {name: _plain(" ".join(" ".join(lines).split())) for name, lines in found.items()}


def _plain(text: str) -> str:
    return text.replace("`", "")
