"""One file per published format of lists, named after its data set; each has a ``FORMAT``, see ``lists``."""

from pkgutil import iter_modules


def names() -> list[str]:
    """Return the names of the formats, as ``--format`` takes them."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))
