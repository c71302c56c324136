"""One file per downstream task: a file's name is the task's name, and listing names imports none of them."""

from pkgutil import iter_modules


def names() -> list[str]:
    """Return the names of the downstream tasks that ship with vfm."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
