"""One file per kind of list: its name is the suffix of its lists, and listing names imports none of them."""

from pkgutil import iter_modules


def names() -> list[str]:
    """Return the kinds of lists, which are the suffixes of their files without the dot."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
