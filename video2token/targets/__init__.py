"""One file per kind of target: a file's name is the kind's name, and listing names imports none of them."""

import importlib
from pkgutil import iter_modules
from typing import TYPE_CHECKING, cast

from vfm.shards.errors import UsageError

if TYPE_CHECKING:
    from vfm.video2token.target import Target, TargetKind, TargetOptions


def names() -> list[str]:
    """Return the kinds of target that ship with vfm, such as ``vq``."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def build_target(spec: str, options: "TargetOptions") -> "Target":
    """Return the target that a spec names.

    Args:
        spec: ``kind`` or ``kind:argument``, such as ``vq:codebooks/mine``.
        options: what it is told.

    Raises:
        UsageError: no such kind, or the kind cannot make anything of the argument or of an option.
    """
    from vfm.video2token.target import own_options

    kind, _, argument = spec.partition(":")
    if kind not in names():
        raise UsageError(f"Target {spec!r} is of no known kind: use one of {', '.join(names())}.")
    module = cast("TargetKind", importlib.import_module(f"{__name__}.{kind}"))
    return module.build(argument, own_options(kind, module.Options, options.own), options)
