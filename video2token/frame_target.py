"""What the targets computed from frames share: frames of many samples fill batches of one size."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import UInt8
from vfm.shards.errors import DamageError
from vfm.shards.pixels.views import View, apply_view
from vfm.shards.reading.dataset import Dataset
from vfm.video2token.target import PART_FRAMES, Arrays, Part, Target


class FrameTarget(Target):
    """A target computed frame by frame: frames of many samples fill one batch.

    Attributes:
        views: what of a frame is looked at, all of one size; axis V of every array.
        batch_size: frames that ``compute`` is given at once.
    """

    batch_size: int

    @abstractmethod
    def compute(self, frames: UInt8) -> Arrays:
        """Return an array [N, ...] for each field, row i a function of frame i alone.

        Args:
            frames: uint8 [N, S, S, 3], RGB, as a view shows them.
        """

    def rows(self, dataset: Dataset, indices: Sequence[int]) -> Iterator[Arrays]:
        """Yield arrays [V, T, ...] of each sample; no more than a sample and a batch are in memory.

        Raises:
            DamageError: a frame is not as it was written, or a value is not finite.
        """
        parts = self.parts(dataset, indices)
        computed = (arrays for part in parts for arrays in self.compute_part(dataset, part))
        return self.assembled(dataset, indices, computed)

    def parts(self, dataset: Dataset, indices: Sequence[int]) -> Iterator[Part]:
        """Yield pieces of whole batches, so that every frame has the same place in the same batch.

        Only then are its bytes the same: products of matrices may round by where a row lies.
        """
        #   samples   aaaaaaabbbbbbbbbbbbbcccc      a frame each, of one shard
        #   batches   0---1---2---3---4---5---      of 4
        #   parts     aaaaaaab bbbbbbbb bbbbcccc    of 2 batches: samples a b, b, b c
        ends = np.cumsum([len(self.views) * int(dataset.num_frames[index]) for index in indices])
        step = max(PART_FRAMES // self.batch_size, 1) * self.batch_size
        for start in range(0, int(ends[-1]) if len(ends) else 0, step):
            stop = min(start + step, int(ends[-1]))
            first = int(np.searchsorted(ends, start, side="right"))
            last = int(np.searchsorted(ends, stop, side="left")) + 1
            before = int(ends[first - 1]) if first else 0
            yield Part(list(indices[first:last]), start - before, stop - before)

    def compute_part(self, dataset: Dataset, part: Part) -> Iterator[Arrays]:
        """Yield arrays [N, ...] of batch after batch."""
        assert len({view.crop_px for view in self.views}) == 1, "views of one size"
        squares = _squares(dataset, part, self.views, self.batch_size)
        for batch in _batches(squares, self.batch_size):
            yield self.compute(np.stack(batch))

    def assembled(
        self, dataset: Dataset, indices: Sequence[int], computed: Iterator[Arrays]
    ) -> Iterator[Arrays]:
        """Yield arrays [V, T, ...] of each sample, cut from batches."""
        num_views = len(self.views)
        lengths = [num_views * int(dataset.num_frames[index]) for index in indices]
        for index, arrays in zip(indices, regroup(computed, lengths), strict=True):
            _refuse_non_finite(arrays, target=self.name, key=dataset.keys[index])
            yield {field: array.reshape(num_views, -1, *array.shape[1:]) for field, array in arrays.items()}


def regroup(chunks: Iterator[Mapping[str, npt.NDArray[Any]]], lengths: Sequence[int]) -> Iterator[Arrays]:
    """Yield arrays of these lengths, cut from the endless row that the chunks make up.

    Args:
        chunks: arrays by field, all of one length in a chunk.
        lengths: 1 or more each.
    """
    held: Arrays = {}
    for length in lengths:
        pieces = [held] if held else []
        while sum(len(next(iter(piece.values()))) for piece in pieces) < length:
            pieces.append(dict(next(chunks)))
        joined = {field: np.concatenate([piece[field] for piece in pieces]) for field in pieces[0]}
        del pieces  # a long sample is in memory once while it is written, not twice
        held = {field: array[length:] for field, array in joined.items()}
        yield {field: array[:length] for field, array in joined.items()}


def _squares(dataset: Dataset, part: Part, views: Sequence[View], batch_size: int) -> Iterator[UInt8]:
    """Yield what each view shows of each frame of a part, view after view; frames are read in batches."""
    position = 0
    for index in part.indices:
        num_frames = int(dataset.num_frames[index])
        for view in views:
            first = max(part.start - position, 0)
            end = min(part.stop - position, num_frames)
            for start in range(first, end, batch_size):
                times = range(start, min(start + batch_size, end))
                yield from apply_view(np.stack(dataset.frames(index, times)), view)
            position += num_frames


def _batches(squares: Iterator[UInt8], batch_size: int) -> Iterator[list[UInt8]]:
    batch: list[UInt8] = []
    for square in squares:
        batch.append(square)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _refuse_non_finite(arrays: Arrays, *, target: str, key: str) -> None:
    for field, array in arrays.items():
        if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
            raise DamageError(
                f"{target} of {key} holds NaN or infinity in {field}, so nothing of it was stored: "
                "check the weights it was computed with."
            )
