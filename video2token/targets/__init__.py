"""One file per kind of target: a file's name is the kind's name, and listing names imports none of them."""

from pkgutil import iter_modules


def names() -> list[str]:
    """Return the kinds of target that ship with vfm, such as ``vq``."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
