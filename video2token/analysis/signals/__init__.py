"""One file per signal: a file's name is the signal's name, and listing names imports none of them."""

from pkgutil import iter_modules


def names() -> list[str]:
    """Return the names of the signals that ship with vfm."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
