"""What every kind of target is: the contract, and what the targets computed from frames share.

A kind is a file of ``vfm.video2token.targets`` that keeps the contract `TargetKind`; a spec on the command
line, ``kind:argument``, names the file and hands the rest of the text to it.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import UInt8
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.typed import MisfitError, coerce
from vfm.shards.pixels.views import View, apply_view
from vfm.shards.reading.dataset import Dataset

Arrays = dict[str, npt.NDArray[Any]]
_PART_FRAMES = 128  # about a second of work: long beside what a message costs, short beside a shard


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """What a target may be told: plain values, which cross to other processes as JSON.

    Attributes:
        name: of the column, after the kind and a dot; None for the target's own.
        batch_size: frames it is given at once; the result does not depend on it.
        device: such as ``cpu`` or ``cuda``.
        own: what the kind's own ``Options`` are set to, such as ``{"crop_px": 112}``; the rest keeps its
            defaults.
    """

    name: str | None = None
    batch_size: int = 64
    device: str = "cpu"
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a batch of none."""
        if self.batch_size < 1:
            raise UsageError(f"A batch cannot hold {self.batch_size} frames: use 1 or more.")


class Part(NamedTuple):
    """A piece of the work on the samples of one shard; where pieces are cut depends on nothing else.

    Attributes:
        indices: which samples it touches.
        start: the first of these samples' frames that it is about, counted through all of their views.
        stop: where it ends, in the same count.
    """

    indices: list[int]
    start: int
    stop: int


class Target(ABC):
    """Computes one column of a dataset.

    Attributes:
        name: of the column, such as ``vq.mine``.
        kind: of the column, the name of the file that builds it.
        fields: members of each sample, in order, such as ``("codes.npy",)``.
        options: JSON values; everything that a byte of the column follows from beside the frames.
        views: what of a frame is looked at; none where it is computed from no frames.
        token_px: sides of a view are multiples of it.
    """

    name: str
    kind: str
    fields: tuple[str, ...]
    options: dict[str, Any]
    views: tuple[View, ...] = ()
    token_px: int = 1

    @abstractmethod
    def rows(self, dataset: Dataset, indices: Sequence[int]) -> Iterator[Arrays]:
        """Yield the arrays of each sample, by field, in the order of ``indices``.

        A sample's arrays depend on that sample alone.
        """

    def parts(self, dataset: Dataset, indices: Sequence[int]) -> Iterator[Part]:
        """Yield the work on the samples of a shard in pieces, which processes can compute apart."""
        group: list[int] = []
        count = 0
        for index in indices:
            group.append(index)
            count += int(dataset.num_frames[index])
            if count >= _PART_FRAMES:
                yield Part(group, 0, count)
                group, count = [], 0
        if group:
            yield Part(group, 0, count)

    def compute_part(self, dataset: Dataset, part: Part) -> Iterator[Arrays]:
        """Yield what one piece computes, in an order that `assembled` understands."""
        return self.rows(dataset, part.indices)

    def assembled(
        self, dataset: Dataset, indices: Sequence[int], computed: Iterator[Arrays]
    ) -> Iterator[Arrays]:
        """Yield the arrays of each sample of a shard, of what its pieces computed one after the other."""
        return islice(computed, len(indices))

    def check(self, dataset: Dataset) -> None:  # noqa: B027 (most kinds need the frames alone)
        """See that the dataset has what the column is computed from, before anything is written.

        Raises:
            UsageError: it has not; names a sample.
        """

    def save_tokenizer(self, folder: Path) -> None:  # noqa: B027 (most kinds need nothing)
        """Put into the column's folder what is needed to understand it later; nothing by default."""


class TargetKind(Protocol):
    """What a file of ``vfm.video2token.targets`` holds.

    Attributes:
        Options: a frozen dataclass of what only this kind may be told, every field with a default.
    """

    Options: type

    def build(self, argument: str, own: Any, options: TargetOptions) -> Target:
        """Return the target that ``kind:argument`` means.

        Args:
            argument: what follows the kind in the spec; may be empty.
            own: ``Options`` of this kind, as they were set.
            options: what every kind may be told.

        Raises:
            UsageError: nothing can be made of the argument or of an option.
        """


def own_options(kind: str, cls: type, given: Mapping[str, Any]) -> Any:
    """Return a kind's own options, set as ``given``.

    Raises:
        UsageError: the kind has no such option, or a value is of another type.
    """
    taken = [option.name for option in dataclasses.fields(cls)]
    if unknown := [name for name in given if name not in taken]:
        raise UsageError(
            f"Target {kind} has no option {_flags(unknown)} (its own are: {_flags(taken) or 'none'}): "
            "remove it."
        )
    try:
        return coerce(dict(given), cls, key="")
    except MisfitError as error:
        raise UsageError(f"Target {kind}: {error}.") from None


def _flags(names: Sequence[str]) -> str:
    """Return options as they are called on the command line, where units are left out."""
    return ", ".join("--" + name.removesuffix("_px").replace("_", "-") for name in names)


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
        step = max(_PART_FRAMES // self.batch_size, 1) * self.batch_size
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


def check_device(name: str) -> str:
    """Return the name of a device that computes here.

    Raises:
        UsageError: torch knows none of that name, or it does not answer.
    """
    import torch

    try:
        torch.ones(1, device=name).add(1).item()
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UsageError(
            f"Device {name} cannot be used ({reason}): use cpu, or a GPU that torch sees."
        ) from error
    return name


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
