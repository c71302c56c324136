"""One file per decoder: a file's name is the decoder's name, and listing names imports none of them."""

import importlib
from pkgutil import iter_modules
from typing import TYPE_CHECKING, cast

from vfm.shards.errors import UsageError

if TYPE_CHECKING:
    from vfm.video2token.decoding.decoder import Decoder


def names() -> list[str]:
    """Return the names of the decoders that ship with vfm."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> "Decoder":
    """Return the decoder of that name.

    Raises:
        UsageError: there is none.
        ImportError: what it decodes with is not installed.
    """
    if name not in names():
        raise UsageError(f"decoder cannot be {name}: use one of {', '.join(names())}.")
    return cast("Decoder", importlib.import_module(f"{__name__}.{name}"))
