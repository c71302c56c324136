"""The columns of a dataset that a recipe reads."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from vfm.shards.columns.commands import kind_of, tokenize_command
from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import Recipe

if TYPE_CHECKING:
    from vfm.shards.format.manifest import Manifest

TEXT = "text"  # kind of the columns that hold captions' ids


def resolve_columns(recipe: Recipe, manifest: "Manifest") -> Recipe:
    """Return ``recipe`` with each pattern in ``data.columns`` replaced by the one column it matches.

    Raises:
        UsageError: several columns match a pattern, or none does; names all that have to be made.
    """
    matches = {pattern: manifest.matching(pattern) for pattern in recipe.data.columns}
    for pattern, found in matches.items():
        if len(found) > 1:
            raise UsageError(
                f"Columns {', '.join(found)} all match {pattern!r}: "
                f"choose one with `--set data.column={found[0]}`."
            )
    if missing := [pattern for pattern, found in matches.items() if not found]:
        there = ", ".join(sorted(manifest.columns))
        raise UsageError(
            f"The dataset has no column {' and no column '.join(map(repr, missing))} (it has {there}): "
            f"run {_commands(missing, frame_px=recipe.model.frame_px)} first."
        )
    return with_columns(recipe, [found[0] for found in matches.values()])


def with_columns(recipe: Recipe, columns: Sequence[str]) -> Recipe:
    """Return ``recipe`` with other columns."""
    return replace(recipe, data=replace(recipe.data, columns=tuple(columns)))


def column_of_kind(recipe: Recipe, kind: str) -> str:
    """Return the one column of a kind that a recipe reads.

    Args:
        recipe: with its columns resolved.
        kind: such as ``vq``, or ``frames``.

    Raises:
        UsageError: it reads none of that kind, or several.
    """
    found = [name for name in recipe.data.columns if kind_of(name) == kind]
    if len(found) != 1:
        raise UsageError(
            f"Recipe {recipe.name} reads one column of kind {kind}, and data.columns "
            f"({','.join(recipe.data.columns)}) has {len(found) or 'none'}: "
            "change it with `--set data.columns=...`."
        )
    return found[0]


def reads_captions(recipe: Recipe) -> bool:
    """Return whether a recipe reads a column of captions' ids."""
    return any(kind_of(name) == TEXT for name in recipe.data.columns)


def learns_classes(recipe: Recipe) -> bool:
    """Return whether a recipe is of a task that names classes."""
    return recipe.task is not None and not reads_captions(recipe)


def _commands(missing: Sequence[str], *, frame_px: int | Literal["any"]) -> str:
    crop_px = None if frame_px == "any" else frame_px
    return " and ".join(f"`{tokenize_command(pattern, crop_px=crop_px)}`" for pattern in missing)
