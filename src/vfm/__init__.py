"""vfm turns a folder of videos into a pretrained video foundation model.

Its names for Python are those of `vfm.api`, loaded when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfm.api import ClipDataset, Dataset, VfmError, VideoModel, embed, from_pretrained, open_dataset

__version__ = "0.1.0"

__all__ = [
    "ClipDataset",
    "Dataset",
    "VfmError",
    "VideoModel",
    "__version__",
    "embed",
    "from_pretrained",
    "open_dataset",
]


def __getattr__(name: str) -> Any:
    """Return a name of `vfm.api`, with which torch and the decoders are loaded."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.api"), name)


def __dir__() -> list[str]:
    """Return the names that there are to be asked for."""
    return sorted({*globals(), *__all__})
