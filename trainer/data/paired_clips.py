"""Clips with what a teacher computed of them: the same frames in the same view for both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Int64, UInt8
from vfm.shards.columns.options import views_in
from vfm.shards.errors import UsageError
from vfm.shards.pixels.views import View, apply_view
from vfm.shards.reading.clip_frames import read_frames, shown_times
from vfm.shards.reading.dataset import Dataset


class StoredTarget(NamedTuple):
    """Where a target is stored: a column, and the field in it, such as ``hog`` and ``hog.npy``."""

    column: str
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedReader:
    """Reads the pixels of a clip, and targets of these very pixels; small and picklable.

    Attributes:
        views: the views that the targets were computed in; axis V of every stored array.
        targets: by the name that they get in a batch.
    """

    views: tuple[View, ...]
    targets: Mapping[str, StoredTarget]

    def __call__(
        self, dataset: Dataset, index: int, times: np.ndarray, *, view: int = 0
    ) -> dict[str, np.ndarray]:
        """Return `clip`, uint8 [T, S, S, 3], and each target, [T, ...], of the same frames in one view.

        Args:
            dataset: opened with ``frames`` and the columns of the targets.
            index: which sample.
            times: int64 [T], stored frames; -1, a frame past the end, shows the last frame again.
            view: which of `views`.
        """
        shown = shown_times(dataset, index, times)
        stored = {
            name: dataset.array(index, target.column, target.field)[view][shown]
            for name, target in self.targets.items()
        }
        return {"clip": self.pixels(dataset, index, shown, view=view), **stored}

    def pixels(self, dataset: Dataset, index: int, times: Sequence[int], *, view: int) -> UInt8:
        """Return frames in one view, uint8 [T, S, S, 3]."""
        return apply_view(read_frames(dataset, index, times), self.views[view])

    def tokens(
        self, dataset: Dataset, index: int, times: Sequence[int], *, view: int, which: Int64
    ) -> dict[str, npt.NDArray[Any]]:
        """Return some tokens of each target, [R, ...], without reading the others.

        Args:
            dataset: opened with the columns of the targets.
            index: which sample.
            times: stored frames of the clip.
            view: which of `views`.
            which: int64 [R], tokens of the clip, counted in the order of its frames, rows and columns.
        """
        found = {}
        for name, target in self.targets.items():
            options = dataset.manifest.columns[target.column].options
            num_cells = (self.views[view].crop_px // options["token_px"]) ** 2
            frames = view * int(dataset.num_frames[index]) + np.asarray(times)[which // num_cells]
            rows = frames * num_cells + which % num_cells
            found[name] = dataset.rows(index, target.column, target.field, rows)
        return found


def paired_reader(dataset: Dataset, targets: Mapping[str, StoredTarget]) -> PairedReader:
    """Return the reader of these targets and of the pixels that they were computed from.

    Raises:
        UsageError: a target was computed from no frames, or two were computed in different views.
    """
    views = {target.column: _views_of(dataset, target.column) for target in targets.values()}
    if len(set(views.values())) != 1:
        told = ", ".join(f"{column} in {len(found)} ({_sides(found)})" for column, found in views.items())
        raise UsageError(
            f"Columns that are learned together must be computed in the same views, and {dataset.data} has "
            f"{told}: make them with one `vfm tokenize` command."
        )
    return PairedReader(views=next(iter(views.values())), targets=dict(targets))


def _views_of(dataset: Dataset, column: str) -> tuple[View, ...]:
    views = views_in(dataset.manifest.columns[column].options, name=column)
    if not views:
        raise UsageError(f"Column {column} of {dataset.data} has no views: it was not computed from frames.")
    return views


def _sides(views: tuple[View, ...]) -> str:
    return ", ".join(f"{view.crop_px} px" for view in views)
