"""Whether a file has the keys of a recipe, and no others; what is wrong with it in one sentence."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import flatten, nearest, to_dict
from vfm.trainer.recipes.values import written

_SET = re.compile(r": change it with `--set [^`]*`\.$")


def check_top(values: Mapping[str, Any], *, path: Path) -> None:
    """Refuse a file without the outermost keys of a recipe, or with others."""
    _check(values, [field.name for field in fields(Recipe)], path=path)


def check_choice(key: str, value: object, allowed: Sequence[str | None], *, path: Path) -> None:
    """Refuse a value that is not one of those allowed."""
    if value not in allowed:
        choices = ", ".join("null" if choice is None else choice for choice in allowed)
        raise UsageError(f"{path}: {key} is {_shown(value)}, but must be one of {choices}.")


def check_keys(values: Mapping[str, Any], like: Recipe, *, path: Path) -> None:
    """Refuse values without every key of a recipe of the same method and task, or with another key."""
    known = flatten(like)

    def walk(values: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str) -> None:
        _check(values, list(wanted), path=path, prefix=prefix, known=known)
        for key, inner in wanted.items():
            value, dotted = values[key], f"{prefix}{key}"
            if isinstance(inner, dict):
                if not isinstance(value, dict):
                    raise UsageError(f"{path}: {dotted} is {_shown(value)}, but must be a section of keys.")
                walk(value, inner, f"{dotted}.")
            elif isinstance(value, dict):
                raise UsageError(f"{path}: {dotted} is a section, but must be a value.")
            elif isinstance(inner, list) and isinstance(value, str):
                raise UsageError(f"{path}: {dotted} is {_shown(value)}, but must be a list: [a, b].")

    walk(values, to_dict(like), "")


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Say of which file a `UsageError` is, and that it is changed there; ``--set`` comes too late for it."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: {_SET.sub(': change it there.', str(error))}") from None


def _check(
    values: Collection[str],
    wanted: Sequence[str],
    *,
    path: Path,
    prefix: str = "",
    known: Collection[str] = (),
) -> None:
    for key in values:
        if key not in wanted:
            near = nearest(f"{prefix}{key}", known or wanted)
            raise UsageError(
                f"{path} has the key {prefix}{key}, which such a recipe does not have{near}: correct it or "
                "leave it out."
            )
    for key in wanted:
        if key not in values:
            raise UsageError(
                f"{path} lacks the key {prefix}{key}, and a file holds every key of its recipe: "
                "`vfm recipes show NAME --yaml` prints all."
            )


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    return "a list" if isinstance(value, list) else "a section" if isinstance(value, dict) else written(value)
