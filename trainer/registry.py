"""The recipes of all methods by name, found in their folders."""

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from vfm.shards.errors import UsageError
from vfm.trainer import methods
from vfm.trainer.recipes.probe import PROBES, probing
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import nearest, rebuild
from vfm.trainer.recipes.values import OtherVersionError


def recipe_names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return sorted(_functions())


def load_recipe(name: str) -> Recipe:
    """Return the recipe of that name, or raise a `UsageError` that names the nearest ones."""
    found = _functions()
    if name not in found:
        raise UsageError(f"Unknown recipe {name!r}{nearest(name, found)}: `vfm recipes` lists all.")
    return found[name]()


def from_dict(values: dict[str, Any]) -> Recipe:
    """Return the recipe that `to_dict` wrote, or raise a `UsageError` naming the key that does not fit."""
    method, task = values.get("method"), values.get("task")
    probe = next((name for name in PROBES if name == task), None)
    same_kind = (
        recipe
        for recipe in (make() for make in _functions().values())
        if (recipe.method, recipe.task) == (method, None if probe else task)
    )
    template = next(same_kind, None)
    if template is not None and probe is not None:
        template = probing(template, probe)
    if template is None:
        raise OtherVersionError(
            f"No recipe of method {method!r} and task {task!r} is known here: "
            "it was written by another version of vfm."
        )
    return rebuild(template, values)


def _functions() -> dict[str, Callable[[], Recipe]]:
    found: dict[str, Callable[[], Recipe]] = {}
    for method in methods.names():
        for kind in ("recipe", "finetune"):
            module = f"{methods.__name__}.{method}.{kind}"
            if find_spec(module) is not None:
                found.update(importlib.import_module(module).RECIPES)
    return found
