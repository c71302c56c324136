"""One file per type of list on the disk: its name is the suffix, and listing names imports none of them.

``read(path)`` gives the list as a ``ListFile``; whose list it is, is found in ``annotations``.
"""

from pkgutil import iter_modules


def names() -> list[str]:
    """Return the types of lists, which are the suffixes of their files without the dot."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
