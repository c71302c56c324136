"""The columns of a dataset that a recipe reads."""

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.recipe import Recipe

if TYPE_CHECKING:
    from vfm.shards.format.manifest import Manifest


def resolve_column(recipe: Recipe, manifest: "Manifest") -> Recipe:
    """Return ``recipe`` with the pattern in ``data.column`` replaced by the one column it matches.

    Raises:
        UsageError: several columns match, or none does.
    """
    pattern = recipe.data.column
    if pattern in manifest.columns:
        return recipe
    found = sorted(name for name in manifest.columns if fnmatchcase(name, pattern))
    if len(found) > 1:
        raise UsageError(
            f"Columns {', '.join(found)} all match {pattern!r}: "
            f"choose one with `--set data.column={found[0]}`."
        )
    if not found:
        raise UsageError(
            f"The dataset has no column {pattern!r} (it has {', '.join(sorted(manifest.columns))}): "
            f"make one with `vfm tokenize DATA --target {_target_for(pattern)}`."
        )
    return replace(recipe, data=replace(recipe.data, column=found[0]))


def _target_for(pattern: str) -> str:
    kind = pattern.partition(".")[0]
    return "vq:CODEBOOK" if kind == "vq" else kind
