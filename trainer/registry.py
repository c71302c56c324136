"""The recipes of all methods by name, found in their folders."""

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vfm.shards.errors import UsageError
from vfm.trainer import methods
from vfm.trainer.recipes.probe import PROBES, probing
from vfm.trainer.recipes.recipe import Recipe
from vfm.trainer.recipes.settings import nearest, rebuild
from vfm.trainer.recipes.values import OtherVersionError
from vfm.trainer.recipes.yaml.keys import check_choice, check_keys, check_top, in_file
from vfm.trainer.recipes.yaml.reader import SUFFIXES, read_yaml


def recipe_names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return sorted(_functions())


def load_recipe(name: str) -> Recipe:
    """Return the recipe of that name, or raise a `UsageError` that names the nearest ones."""
    found = _functions()
    if name not in found:
        raise UsageError(f"Unknown recipe {name!r}{nearest(name, found)}: `vfm recipes` lists all.")
    return found[name]()


def open_recipe(name_or_path: str) -> Recipe:
    """Return the recipe of a name, or that of a file which ends with .yaml or .yml.

    A file is a whole recipe: it holds every key. Its ``name`` may be any, that of a recipe whose numbers it
    changes too, as ``--set`` leaves the name as it is.

    Raises:
        UsageError: there is no such recipe or file, a key of the file is missing, unknown or given twice, or
            a value does not fit.
    """
    path = Path(name_or_path)
    if path.suffix.lower() not in SUFFIXES:
        return load_recipe(name_or_path)
    values = read_yaml(path)
    check_top(values, path=path)
    check_choice("method", values["method"], methods.names(), path=path)
    tasks = {recipe.task for recipe in _of_method(values["method"])}
    check_choice("task", values["task"], [*sorted(tasks, key=str), *PROBES], path=path)
    template = _template(values["method"], values["task"])
    assert template is not None, "the method and the task were found"
    check_keys(values, template, path=path)
    with in_file(path):
        return rebuild(template, values)


def from_dict(values: dict[str, Any]) -> Recipe:
    """Return the recipe that `to_dict` wrote, or raise a `UsageError` naming the key that does not fit."""
    method, task = values.get("method"), values.get("task")
    template = _template(method, task)
    if template is None:
        raise OtherVersionError(
            f"No recipe of method {method!r} and task {task!r} is known here: "
            "it was written by another version of vfm."
        )
    return rebuild(template, values)


def _template(method: object, task: object) -> Recipe | None:
    """Return any recipe with the dataclasses of this method and task; None where there are none."""
    probe = next((name for name in PROBES if name == task), None)
    same_task = (recipe for recipe in _of_method(method) if recipe.task == (None if probe else task))
    template = next(same_task, None)
    return template if template is None or probe is None else probing(template, probe)


def _of_method(method: object) -> list[Recipe]:
    return [recipe for recipe in (make() for make in _functions().values()) if recipe.method == method]


def _functions() -> dict[str, Callable[[], Recipe]]:
    found: dict[str, Callable[[], Recipe]] = {}
    for method in methods.names():
        for kind in ("recipe", "finetune"):
            module = f"{methods.__name__}.{method}.{kind}"
            if find_spec(module) is not None:
                found.update(importlib.import_module(module).RECIPES)
    return found
