"""Several datasets as one: their samples one after the other, drawn by weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Int64, UInt8, UInt32
from vfm.shards.columns.options import ENLARGEMENT
from vfm.shards.errors import UsageError
from vfm.shards.format.classes import in_order
from vfm.shards.format.layout import FRAMES
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import canonical_json
from vfm.shards.order import Share
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.reading.keys import Keys

# What may differ between the columns of a mixture: batches change the last bits at most, and a vocabulary is
# the same whatever the file is called that it was read from.
_HARMLESS = {ENLARGEMENT, "batch_size", "vocabulary", "vocabulary_sha256"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A dataset to learn from.

    Attributes:
        data: its folder.
        weight: how often each of its samples is drawn in an epoch, in the mean; above 0.
    """

    data: Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a weight by which nothing is drawn."""
        if not 0 < self.weight < float("inf"):
            raise UsageError(f"{self.data} has weight {self.weight:g}: use a number above 0.")


def parse_source(text: str) -> Source:
    """Return the dataset that ``PATH`` or ``PATH=WEIGHT`` means; a folder of that whole name comes first.

    Raises:
        UsageError: the weight is no number above 0.
    """
    path, mark, weight = text.rpartition("=")
    if not mark or Path(text).exists():
        return Source(data=Path(text))
    try:
        return Source(data=Path(path), weight=float(weight))
    except ValueError:
        raise UsageError(
            f"{text} is no folder, and {weight!r} no weight: write PATH=WEIGHT, such as data/mine=2 to see "
            "each sample of data/mine twice an epoch."
        ) from None


def open_mixture(
    sources: Sequence[Source], *, columns: Sequence[str] = (FRAMES,), select_split: str | None = None
) -> Dataset:
    """Open datasets to learn from all of them; see `open_dataset`.

    Args:
        sources: the datasets and their weights; a single one is opened as it is.
        columns: which columns will be read.
        select_split: keep only the samples of this split, of which each dataset must have some; ``all`` keeps
            every one.

    Raises:
        UsageError: one cannot be opened, two are the same, their columns were made in different ways, or
            one alone has a weight.
        DamageError: one is not as it was written.
    """
    if len({source.data.resolve() for source in sources}) < len(sources):
        raise UsageError("The same dataset is given twice: give it once, with the sum of its weights.")
    if len(sources) == 1 and sources[0].weight != 1.0:
        raise UsageError(
            f"{sources[0].data} is the only dataset and has weight {sources[0].weight:g}: weights say how "
            "often samples of several are drawn, so leave it out, and set the length with --epochs."
        )
    opened = [open_dataset(source.data, columns=columns, select_split=select_split) for source in sources]
    if len(opened) == 1:
        return opened[0]
    for other in opened[1:]:
        _check_alike(opened[0], other, columns=columns)
    return Mixture(opened, weights=[source.weight for source in sources])


class Mixture(Dataset):
    """Datasets as one; a class index is a position in the classes of all of them.

    Datasets with the same classes in the same order keep it, so that published heads fit. Of others the
    classes are put in order anew: as numbers where all are, else as texts.

    Attributes:
        parts: the datasets.
        weights: how often each sample of a part is drawn in an epoch, in the mean.
    """

    def __init__(self, parts: Sequence[Dataset], *, weights: Sequence[float]) -> None:
        # Nothing of the base class is left to set: a mixture has no shards, its parts have them.
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *map(len, parts)])
        self.weights = tuple(weights)
        self.data = parts[0].data
        self.manifest = parts[0].manifest
        self.columns = parts[0].columns
        self.classes = _classes_of(parts)
        keys = np.concatenate([part.keys.to_bytes() for part in parts])
        self.keys = Keys(keys, rows=np.arange(len(keys), dtype=np.int64))
        self.class_indices = np.concatenate([_renumbered(part, classes=self.classes) for part in parts])
        self.splits = np.concatenate([part.splits for part in parts])
        self.num_frames = np.concatenate([part.num_frames for part in parts])
        told = {"parts": [part.fingerprint for part in parts], "weights": list(self.weights)}
        self.fingerprint = sha256(canonical_json(told))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __str__(self) -> str:
        """Return the folders, for sentences."""
        return " and ".join(map(str, self._parts))

    @property
    def parts(self) -> tuple[Dataset, ...]:
        """The datasets, in order."""
        return self._parts

    @property
    def shares(self) -> tuple[Share, ...]:
        """How often the samples of each part are drawn in an epoch."""
        starts = self._starts.tolist()
        return tuple(
            Share(
                start=start,
                num_samples=len(part),
                per_epoch=round(weight * len(part)),
                kind="images" if part.manifest.holds_images else "videos",
            )
            for start, part, weight in zip(starts, self._parts, self.weights, strict=False)
        )

    def every_sample(self) -> "Mixture":
        """Return the mixture of the parts with all their samples."""
        return Mixture([part.every_sample() for part in self._parts], weights=self.weights)

    def tars_sha256(self, column: str) -> str:
        """Return the SHA-256 over those of the parts."""
        return sha256(canonical_json([part.tars_sha256(column) for part in self._parts]))

    def is_image(self, index: int) -> bool:
        """See `Dataset.is_image`."""
        part, own = self._find(index)
        return part.is_image(own)

    def meta(self, index: int) -> SampleMeta:
        """See `Dataset.meta`."""
        part, own = self._find(index)
        return part.meta(own)

    def member(self, index: int, column: str, field: str) -> bytes:
        """See `Dataset.member`."""
        part, own = self._find(index)
        return part.member(own, column, field)

    def frames(self, index: int, times: Sequence[int] | Int64) -> list[UInt8]:
        """See `Dataset.frames`."""
        part, own = self._find(index)
        return part.frames(own, times)

    def array(self, index: int, column: str, field: str) -> npt.NDArray[np.generic]:
        """See `Dataset.array`."""
        part, own = self._find(index)
        return part.array(own, column, field)

    def rows(self, index: int, column: str, field: str, which: Int64) -> npt.NDArray[np.generic]:
        """See `Dataset.rows`."""
        part, own = self._find(index)
        return part.rows(own, column, field, which)

    def stored(self, column: str, field: str) -> tuple[Int64, UInt32]:
        """See `Dataset.stored`."""
        sizes_bytes, crcs = zip(*(part.stored(column, field) for part in self._parts), strict=True)
        return np.concatenate(sizes_bytes), np.concatenate(crcs)

    def select(self, indices: Sequence[int] | Int64) -> "Mixture":
        """Return the mixture of these samples, which stand in ascending order; weights stay what they are."""
        wanted = np.asarray(indices, dtype=np.int64)
        assert (np.diff(wanted) > 0).all(), "samples of a part stay together"
        ends = np.searchsorted(wanted, self._starts)
        chosen = [
            part.select(wanted[ends[i] : ends[i + 1]] - self._starts[i]) for i, part in enumerate(self._parts)
        ]
        return Mixture(chosen, weights=self.weights)

    def _find(self, index: int) -> tuple[Dataset, int]:
        place = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._parts[place], int(index - self._starts[place])


def _classes_of(parts: Sequence[Dataset]) -> tuple[str, ...]:
    """Return the classes of all, in the order that the parts share, else `in_order`."""
    if len({part.classes for part in parts}) == 1:
        return parts[0].classes
    return in_order(label for part in parts for label in part.classes)


def _renumbered(part: Dataset, *, classes: tuple[str, ...]) -> Int64:
    """Return the classes of a part's samples as positions in the classes of all; -1 stays -1."""
    places = np.asarray([*(classes.index(label) for label in part.classes), -1], dtype=np.int64)
    return places[part.class_indices]


def _check_alike(one: Dataset, other: Dataset, *, columns: Sequence[str]) -> None:
    """Refuse datasets of which the same target means different things; frames are for recipes to judge."""
    for name in columns:
        if name == FRAMES:
            continue
        mine, theirs = (dataset.manifest.columns[name].options for dataset in (one, other))
        differing = {key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)}
        if differing := differing - _HARMLESS:
            raise UsageError(
                f"Column {name} differs between {one.data} and {other.data} in "
                f"{', '.join(sorted(differing))}, so they cannot be mixed: make it in both with the same "
                "`--target` and options."
            )
