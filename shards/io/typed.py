"""JSON values into the types that a dataclass's annotations ask for, or a clause about what does not fit."""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_MAX_SHOWN = 60  # letters of a value in a message


class MisfitError(ValueError):
    """A value is not of the type that is asked for; the text is a clause without a full stop."""


class OtherKeysError(MisfitError):
    """A dataclass lacks a key or does not know one: ``lacks the key a.b``."""


def coerce(value: Any, hint: Any, *, key: str, types: Mapping[str, Any] | None = None) -> Any:
    """Return the JSON value ``value`` as the type ``hint``, dataclasses, tuples and dicts included.

    Args:
        value: what a JSON reader gave.
        hint: the annotation to satisfy.
        key: the dotted place of the value, for messages; empty for the outermost.
        types: annotations to use in place of a dataclass's own, by field name.

    Raises:
        MisfitError: naming the key that is unknown, missing or of another type.
    """
    for option in options_of(hint):
        if is_dataclass(option) and isinstance(value, dict):
            return _build(value, option, key=key, types=types or {})
        try:
            return _fit(value, option, key=key)
        except MisfitError:
            raise
        except ValueError:
            continue
    shown = repr(value)
    shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}…"
    raise MisfitError(f"{key or 'the whole'} is {shown}, but must be {describe(hint)}")


def describe(hint: Any) -> str:
    """Return an annotation in words: ``a whole number or none``."""
    return " or ".join(_describe_one(option) for option in options_of(hint))


def options_of(hint: Any) -> tuple[Any, ...]:
    """Return what an annotation leaves to choose from: one type, or those of a union."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def items_of(hint: Any, length: int) -> tuple[Any, ...]:
    """Return the annotation of each item of a tuple; ValueError when it has another length."""
    items = get_args(hint)
    if len(items) == 2 and items[1] is Ellipsis:
        return (items[0],) * length
    if len(items) != length:
        raise ValueError(length)
    return items


def finite(number: float) -> float:
    """Return ``number``; ValueError for NaN and infinity."""
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _fit(value: Any, hint: Any, *, key: str) -> Any:
    if hint is Any or (hint is type(None) and value is None):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _to_float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if get_origin(hint) is Literal and value in get_args(hint):
        return value
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        items = items_of(hint, len(value))
        return tuple(coerce(v, item, key=key) for v, item in zip(value, items, strict=True))
    if get_origin(hint) is dict and isinstance(value, dict):
        inner = get_args(hint)[1]
        return {name: coerce(v, inner, key=f"{key}.{name}") for name, v in value.items()}
    raise ValueError(value)


def _to_float(value: float) -> float:
    try:
        return finite(float(value))
    except OverflowError:  # a whole number of more than 308 digits
        raise ValueError(value) from None


def _build(values: dict[str, Any], cls: Any, *, key: str, types: Mapping[str, Any]) -> Any:
    hints = {**_hints(cls), **types}
    names = {field.name for field in fields(cls)}
    optional = {f.name for f in fields(cls) if f.default is not MISSING or f.default_factory is not MISSING}
    wrong = sorted(set(values) - names) or sorted(names - optional - set(values))
    if wrong:
        where = f"{key}." if key else ""
        problem = "does not know" if wrong[0] not in names else "lacks"
        raise OtherKeysError(f"{problem} the key {where}{wrong[0]}")
    return cls(**{n: coerce(v, hints[n], key=f"{key}.{n}" if key else n) for n, v in values.items()})


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


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
    if get_origin(hint) is dict:
        inner = get_args(hint)[1]
        return "an object" if inner is Any else f"an object, each value {describe(inner)}"
    if is_dataclass(hint):
        return "an object"
    return str(getattr(hint, "__name__", hint))
