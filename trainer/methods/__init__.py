"""One folder per pretraining method, whose name is the folder's; listing names imports none of them."""

import importlib
from pkgutil import iter_modules
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from vfm.trainer.method import MethodPackage


def names() -> list[str]:
    """Return the names of the pretraining methods that ship with vfm."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> "MethodPackage":
    """Return the package of the method of that name."""
    return cast("MethodPackage", importlib.import_module(f"{__name__}.{name}"))
