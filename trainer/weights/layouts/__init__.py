"""One file for each project; its ``LAYOUTS`` are what it names the states of which methods and tasks."""

import importlib
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfm.trainer.weights.layout import Layout


def names() -> list[str]:
    """Return the names of the projects whose layouts are known."""
    return sorted(module.name for module in iter_modules(__path__))


def load_all() -> "list[Layout]":
    """Return the layouts of all projects."""
    modules = (importlib.import_module(f"{__name__}.{name}") for name in names())
    return [layout for module in modules for layout in module.LAYOUTS]
