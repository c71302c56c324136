"""One folder per pretraining method, whose name is the folder's; listing names imports none of them."""

from pkgutil import iter_modules


def names() -> list[str]:
    """Return the names of the pretraining methods that ship with vfm."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
