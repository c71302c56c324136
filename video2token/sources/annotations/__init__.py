"""One file per published format of lists, named after its data set; each has a ``FORMAT``, see ``lists``."""

import importlib
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfm.video2token.sources.lists.list_format import Format


def names() -> list[str]:
    """Return the names of the formats, as ``--format`` takes them."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def load(name: str) -> "Format":
    """Return a format by its name."""
    found: Format = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").FORMAT
    return found
