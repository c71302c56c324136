"""Numbers of a recipe under their dotted keys: changed, compared, as JSON and back."""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from vfm.shards.columns.commands import kind_of
from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.values import coerce, leaves, parse

# What may differ between a run and its resumption: none of these changes a weight, but for the rounding of
# compiled kernels, which another device has as well.
FREE_KEYS = frozenset(
    f"train.{name}"
    for name in (
        "parallel",
        "compile",
        "activation_checkpointing",
        "log_every",
        "checkpoint_every",
        "keep_checkpoints",
        "num_workers",
        "validate_epochs",
        "validate_split",
        "validate_knn",
    )
)

COLUMNS, ONE_COLUMN = "data.columns", "data.column"


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return ``recipe`` with settings such as ``optim.lr=1e-3`` applied together, then checked.

    ``data.column=NAME`` stands for ``data.columns`` with the column of that kind replaced by NAME.

    Raises:
        UsageError: a setting without ``=``, an unknown key (with the nearest ones), a value of another type.
    """
    values = to_dict(recipe)
    known = {key: hint for key, hint in leaves(recipe).items() if "." in key}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"Cannot read the setting {setting!r}: write KEY=VALUE, e.g. optim.lr=1e-3.")
        if key == ONE_COLUMN:
            key, text = COLUMNS, ",".join(_with_column(values["data"]["columns"], text.strip(), recipe.name))
        if key not in known:
            raise UsageError(
                f"Recipe {recipe.name!r} has no key {key!r}{nearest(key, known)}: "
                "`vfm recipes show RECIPE` lists all."
            )
        *folders, leaf = key.split(".")
        target = values
        for folder in folders:
            target = target[folder]
        target[leaf] = parse(text, known[key], key=key)
    return rebuild(recipe, values)


def _with_column(columns: Sequence[str], name: str, recipe: str) -> list[str]:
    """Return the columns with that of the same kind as ``name`` replaced; the only one where there is one."""
    places = [i for i, column in enumerate(columns) if len(columns) == 1 or kind_of(column) == kind_of(name)]
    if len(places) != 1:
        raise UsageError(
            f"Recipe {recipe!r} reads {','.join(columns)}, of which {ONE_COLUMN}={name} could replace "
            f"{len(places) or 'none'}: give all of them with `--set {COLUMNS}=...`."
        )
    return [*columns[: places[0]], name, *columns[places[0] + 1 :]]


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain JSON values; `from_dict` gives it back exactly."""
    plain = _plain(recipe)
    assert isinstance(plain, dict)
    return plain


def flatten(recipe: Recipe) -> dict[str, Any]:
    """Return every number of the recipe under its dotted key."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if not isinstance(value, dict):
            flat[prefix] = value
            return
        for key, inner in value.items():
            walk(f"{prefix}.{key}" if prefix else key, inner)

    walk("", to_dict(recipe))
    return flat


def differences(before: Recipe, after: Recipe) -> list[str]:
    """Return one ``key: old -> new`` for each number that differs and may not change on resume."""
    found = compared(before, after)
    return [f"{key}: {old} -> {new}" for key, (old, new) in found.items() if key not in FREE_KEYS]


def compared(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return both values of each key that differs; None where a recipe has no such key.

    A key that one recipe has not and the other has as None differs too.
    """
    ours, theirs = flatten(one), flatten(other)
    both = {key: (ours.get(key), theirs.get(key)) for key in {**ours, **theirs}}
    return {
        key: values
        for key, values in both.items()
        if values[0] != values[1] or (key in ours) != (key in theirs)
    }


def rebuild(template: Recipe, values: dict[str, Any]) -> Recipe:
    """Return the recipe of these JSON values; the template tells the types of model and objective."""
    types = {"model": type(template.model), "objective": type(template.objective)}
    built: Recipe = coerce(values, Recipe, key="", types=types)
    return built


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def nearest(name: str, known: Collection[str]) -> str:
    """Return " (nearest: …)" with the names most like ``name``, nothing when none is like it."""
    # A key is often given without its section: its last part is compared as well.
    same_leaf = [key for key in known if key.rpartition(".")[2] == name]
    near = same_leaf + difflib.get_close_matches(name, known, n=3)
    near = list(dict.fromkeys(near))[:3]
    return f" (nearest: {', '.join(near)})" if near else ""
