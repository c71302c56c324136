"""One file per decoder: a file's name is the decoder's name, and listing names imports none of them."""

from pkgutil import iter_modules


def names() -> list[str]:
    """Return the names of the decoders that ship with vfm."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
