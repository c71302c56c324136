"""vfm in Python: data sets, models and features in a line each, see ``docs/reference/python.md``.

The one module that knows both how videos are decoded and how models see them. Messages go to the logger
``vfm``; what a user can cause or fix is a `VfmError`, with the sentence that the command line tells.
"""

import logging
from os import PathLike
from pathlib import Path

from vfm.shards.errors import VfmError
from vfm.shards.reading.dataset import Dataset
from vfm.trainer.export.model import VideoModel, model_of
from vfm.trainer.runs.folder import RunOptions
from vfm.trainer.runs.initial_weights import from_path

__all__ = ["Dataset", "VfmError", "VideoModel", "from_pretrained"]

_log = logging.getLogger("vfm")


def from_pretrained(path: str | PathLike[str], *, average: bool = False) -> VideoModel:
    """Return the model of a run, an exported folder or a file of weights, in evaluation mode on the CPU.

    Args:
        path: of a run, of what `vfm export` or `vfm convert` wrote, or of a file of another project that
            `vfm convert` takes.
        average: take the moving average of a run's weights.

    Raises:
        VfmError: there are no such weights, they are of another version, or of a probe.
    """
    start = from_path(Path(path), options=RunOptions(say=_log.info), averaged=average)
    return model_of(start.recipe, start.weights(), classes=start.classes)
