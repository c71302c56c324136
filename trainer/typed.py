"""Values from text and from JSON into the types that a dataclass's annotations ask for."""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vfm.shards.errors import UsageError

TRUE, FALSE, NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null", "")


def leaves(value: Any, *, prefix: str = "") -> dict[str, Any]:
    """Return the annotation of every field below a dataclass instance that is not a dataclass itself.

    Keys are dotted: ``optim.lr``.
    """
    hints = get_type_hints(type(value))
    found: dict[str, Any] = {}
    for field in fields(value):
        inner = getattr(value, field.name)
        if is_dataclass(inner):
            found.update(leaves(inner, prefix=f"{prefix}{field.name}."))
        else:
            found[f"{prefix}{field.name}"] = hints[field.name]
    return found


def parse(text: str, hint: Any, *, key: str) -> Any:
    """Return what ``text`` says, as a JSON value that fits the annotation ``hint``.

    Raises:
        UsageError: naming ``key``, the text and what was expected.
    """
    # None first: "none" would also pass for text.
    for option in sorted(_options(hint), key=lambda option: option is not type(None)):
        try:
            return _parse_one(text.strip(), option)
        except ValueError:
            continue
    raise UsageError(f"{key}={text} does not fit: {key} is {describe(hint)}.")


def coerce(value: Any, hint: Any, *, key: str, types: Mapping[str, Any] | None = None) -> Any:
    """Return the JSON value ``value`` as the type ``hint``, dataclasses and tuples included.

    Args:
        value: what a JSON reader gave.
        hint: the annotation to satisfy.
        key: the dotted place of the value, for messages; empty for the outermost.
        types: annotations to use in place of a dataclass's own, by field name.

    Raises:
        UsageError: naming the key that is unknown, missing or of another type.
    """
    for option in _options(hint):
        if is_dataclass(option) and isinstance(value, dict):
            return _build(value, option, key=key, types=types or {})
        try:
            return _fit(value, option, key=key)
        except ValueError:
            continue
    raise UsageError(f"{key} is {value!r}, but must be {describe(hint)}.")


def describe(hint: Any) -> str:
    """Return an annotation in words: ``a whole number or none``."""
    return " or ".join(_describe_one(option) for option in _options(hint))


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _parse_one(text: str, hint: Any) -> Any:
    low = text.lower()
    if hint is type(None) and low in NONE:
        return None
    if hint is bool and low in TRUE + FALSE:
        return low in TRUE
    if hint is int or hint is float:
        return _finite(hint(text))
    if hint is str:
        return text
    if get_origin(hint) is Literal and text in map(str, get_args(hint)):
        return next(choice for choice in get_args(hint) if str(choice) == text)
    if get_origin(hint) is tuple:
        parts = [part for part in text.strip("()[]").split(",") if part.strip()]
        items = zip(parts, _items(hint, len(parts)), strict=True)
        return [_parse_one(part.strip(), item) for part, item in items]
    raise ValueError(text)


def _fit(value: Any, hint: Any, *, key: str) -> Any:
    if hint is Any or (hint is type(None) and value is None):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(float(value))
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if get_origin(hint) is Literal and value in get_args(hint):
        return value
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        items = _items(hint, len(value))
        return tuple(coerce(v, item, key=key) for v, item in zip(value, items, strict=True))
    raise ValueError(value)


def _build(values: dict[str, Any], cls: Any, *, key: str, types: Mapping[str, Any]) -> Any:
    hints = {**get_type_hints(cls), **types}
    names = {field.name for field in fields(cls)}
    optional = {f.name for f in fields(cls) if f.default is not MISSING or f.default_factory is not MISSING}
    wrong = sorted(set(values) - names) or sorted(names - optional - set(values))
    if wrong:
        where = f"{key}." if key else ""
        problem = "does not know" if wrong[0] not in names else "lacks"
        raise UsageError(
            f"The recipe {problem} the key {where}{wrong[0]}: it was written by another version of vfm."
        )
    return cls(**{n: coerce(v, hints[n], key=f"{key}.{n}" if key else n) for n, v in values.items()})


def _items(hint: Any, length: int) -> tuple[Any, ...]:
    items = get_args(hint)
    if len(items) == 2 and items[1] is Ellipsis:
        return (items[0],) * length
    if len(items) != length:
        raise ValueError(length)
    return items


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _describe_one(hint: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
    if hint in words:
        return words[hint]
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        items = get_args(hint)
        count = "any number of" if items[-1] is Ellipsis else str(len(items))
        return f"{count} values with commas between, each {_describe_one(items[0])}"
    return str(getattr(hint, "__name__", hint))
