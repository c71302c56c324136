"""Values from text and from JSON into the types that a dataclass's annotations ask for."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from vfm.shards.errors import UsageError
from vfm.shards.io import typed

TRUE, FALSE, NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null", "")


class OtherVersionError(UsageError):
    """A recipe was written by a vfm that knows other recipes, or other keys of them."""


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


def written(value: object) -> str:
    """Return a value the way `parse` takes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def parse(text: str, hint: Any, *, key: str) -> Any:
    """Return what ``text`` says, as a JSON value that fits the annotation ``hint``.

    Raises:
        UsageError: naming ``key``, the text and what was expected.
    """
    # None first: "none" would also pass for text.
    for option in sorted(typed.options_of(hint), key=lambda option: option is not type(None)):
        try:
            return _parse_one(text.strip(), option)
        except ValueError:
            continue
    raise UsageError(f"{key}={text} does not fit: {key} is {typed.describe(hint)}.")


def coerce(value: Any, hint: Any, *, key: str, types: Mapping[str, Any] | None = None) -> Any:
    """Return the JSON value ``value`` of a recipe as the type ``hint``; see ``vfm.shards.io.typed.coerce``.

    Raises:
        UsageError: naming the key that is unknown, missing or of another type.
    """
    try:
        return typed.coerce(value, hint, key=key, types=types)
    except typed.OtherKeysError as error:
        raise OtherVersionError(f"The recipe {error}: it was written by another version of vfm.") from None
    except typed.MisfitError as error:
        raise UsageError(f"{error}.") from None


def _parse_one(text: str, hint: Any) -> Any:
    low = text.lower()
    if hint is type(None) and low in NONE:
        return None
    if hint is bool and low in TRUE + FALSE:
        return low in TRUE
    if hint is int or hint is float:
        return typed.finite(hint(text))
    if hint is str:
        return text
    if get_origin(hint) is Literal and text in map(str, get_args(hint)):
        return next(choice for choice in get_args(hint) if str(choice) == text)
    if get_origin(hint) is tuple:
        parts = [part for part in text.strip("()[]").split(",") if part.strip()]
        items = zip(parts, typed.items_of(hint, len(parts)), strict=True)
        return [_parse_one(part.strip(), item) for part, item in items]
    raise ValueError(text)
