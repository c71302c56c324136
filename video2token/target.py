"""What every kind of target is.

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

import numpy.typing as npt

from vfm.shards.errors import UsageError
from vfm.shards.format.manifest import Column
from vfm.shards.io.typed import MisfitError, coerce
from vfm.shards.pixels.views import View
from vfm.shards.progress import Progress
from vfm.shards.reading.dataset import Dataset

Arrays = dict[str, npt.NDArray[Any]]
PART_FRAMES = 128  # about a second of work: long beside what a message costs, short beside a shard


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
        fidelity: how true the stored values are to those computed, JSON values; None where nobody measured.
        note: what was decided on the way, a sentence; empty where nothing was.
        frames_per_worker: a process takes two seconds to start, and with fewer frames it would not pay.
    """

    name: str
    kind: str
    fields: tuple[str, ...]
    options: dict[str, Any]
    views: tuple[View, ...] = ()
    token_px: int = 1
    fidelity: dict[str, Any] | None = None
    note: str = ""
    frames_per_worker: int = 512

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
            if count >= PART_FRAMES:
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

    def fit(  # noqa: B027 (as above)
        self, dataset: Dataset, folder: Path, *, there: Column | None, progress: Progress
    ) -> None:
        """Learn what values depend on beside options; `fields` and `options` are final only after it.

        Args:
            dataset: what the column will be computed from.
            folder: the column's, where an earlier run has put what it learned; need not be there.
            there: the column as that run began it; None where there is none.
            progress: receives progress updates.

        Raises:
            UsageError: there is too little to learn from.
            DamageError: what an earlier run learned is not as it was written.
        """

    def tools(self) -> dict[str, str]:
        """Return versions of what the column is computed by, for the reports of its shards."""
        import torch

        return {"torch": str(torch.__version__)}

    def remarks(self, data: Path) -> Iterator[str]:
        """Yield sentences about the finished column of the dataset in ``data``; none by default."""
        del data
        yield from ()

    def save_beside(self, folder: Path) -> None:  # noqa: B027 (as above)
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
