"""Random access to the samples of a dataset: any member, frame or array of any column, checked when read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Int64, UInt8, UInt32
from vfm.shards.errors import DamageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.format.manifest import Manifest, read_manifest
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import canonical_json
from vfm.shards.io.npy import from_npy
from vfm.shards.order import Share
from vfm.shards.pixels.jpeg import decode
from vfm.shards.reading.clip_dataset import ClipDataset, ClipWindow, Where, stride_of
from vfm.shards.reading.column import ColumnReader
from vfm.shards.reading.item import describe, place_of, read_item
from vfm.shards.reading.join import open_columns
from vfm.shards.reading.keys import Keys
from vfm.shards.reading.lookup import Lookup, canonical_splits, rows_of_split
from vfm.shards.splits import ALL, canonical_split


def open_dataset(
    data: Path, *, columns: Sequence[str] = (FRAMES,), select_split: str | None = None
) -> "Dataset":
    """Open the finished columns of a dataset for reading.

    Manifest, reports and indexes are read and checked here; the tars are opened when samples are read.

    Args:
        data: the dataset's folder.
        columns: which columns will be read; pixels are only where ``frames`` is named.
        select_split: keep only the samples of this split, under any of its names; ``all`` keeps every one.

    Raises:
        UsageError: no dataset, a column missing, not finished or made from other frames, an unknown split.
        DamageError: the manifest, a report or an index is not as it was written.
    """
    manifest = read_manifest(data)
    readers = open_columns(data, manifest=manifest, names=tuple(columns))
    dataset = Dataset(
        data,
        manifest=manifest,
        readers=readers,
        rows=np.arange(len(readers[FRAMES].index), dtype=np.int64),
        columns=tuple(columns),
        fingerprint=sha256(canonical_json({name: readers[name].tar_hashes for name in columns})),
    )
    if select_split is None or canonical_split(select_split) == ALL:
        return dataset
    return dataset.select(rows_of_split(data, splits=dataset.splits, wanted=select_split))


class Dataset:
    """Samples by number, with the columns it was opened with; picklable, cheap to send to a worker.

    ``dataset[i]`` is all of a sample; the methods read parts of it, without a copy where that can be.

    Attributes:
        data: the dataset's folder.
        manifest: its manifest.
        columns: those that it was opened with.
        classes: `Plan.classes`; a class index is a position in here.
        keys: names of the samples.
        class_indices: int64 [N], -1 unknown.
        splits: str [N], each under its one name, see `canonical_split`; empty unknown.
        num_frames: int64 [N].
        fingerprint: SHA-256 over the hashes of all tars of the columns asked for, and over the selection:
            equal exactly when the samples and their order are.
    """

    def __init__(
        self,
        data: Path,
        *,
        manifest: Manifest,
        readers: dict[str, ColumnReader],
        rows: Int64,
        columns: tuple[str, ...],
        fingerprint: str,
    ) -> None:
        self.data = data
        self.manifest = manifest
        self.columns = columns
        self.classes = manifest.classes
        self.fingerprint = fingerprint
        self._readers = readers
        self._rows = rows
        index = readers[FRAMES].index
        self.keys = Keys(index.keys, rows=rows)
        self.class_indices: Int64 = index.class_index[rows]
        self.splits: npt.NDArray[np.str_] = canonical_splits(index.split[rows])
        self.num_frames: Int64 = index.num_frames[rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __str__(self) -> str:
        """Return its folder, for sentences."""
        return str(self.data)

    def __repr__(self) -> str:
        """Return what it is in a line, for a prompt."""
        return describe(self)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        """Return a sample, in arrays that are the caller's own.

        Args:
            index: which sample; negative numbers count from the end.

        Returns:
            ``key``, ``source``, ``label``, ``split``, ``fps`` and ``pts_s``; if the column was opened
            ``frames``, uint8 [T, H, W, 3]; and for each target column under its name a dict of its arrays,
            such as ``codes``. ``label``, ``split`` and ``fps`` are None where they are unknown.

        Raises:
            DamageError: stored bytes are not what was written.
            IndexError: there is no such sample.
            TypeError: ``index`` is no whole number.
        """
        return read_item(self, place_of(index, count=len(self), of=self))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield every sample; see `__getitem__`."""
        return (self[index] for index in range(len(self)))

    def clips(
        self,
        *,
        num_frames: int,
        size_px: int,
        seconds_apart: float | None = None,
        where: Where = "middle",
        seed: int = 0,
        allow_enlarging: bool = False,
    ) -> ClipDataset:
        """Return one clip of each sample, for `torch.utils.data.DataLoader`.

        Args:
            num_frames: of a clip; past the end of a video its last frame is shown again.
            size_px: side of the middle square of each frame, cut and resized as for training.
            seconds_apart: time between two frames of a clip, to the nearest stored frame; None takes one
                stored frame after the other.
            where: ``start`` or ``middle`` of the video, or ``random``: see `ClipDataset.set_epoch`.
            seed: of random clips.
            allow_enlarging: take a size that is larger than half of the videos have.

        Raises:
            UsageError: there are no such clips: a number is out of range, frames would be enlarged or lie too
                far from ``seconds_apart``, or the dataset was opened without ``frames``.
        """
        stride = stride_of(self, seconds_apart=seconds_apart)
        window = ClipWindow(num_frames=num_frames, stride=stride, where=where, seed=seed)
        return ClipDataset(self, window=window, size_px=size_px, allow_enlarging=allow_enlarging)

    @property
    def parts(self) -> "tuple[Dataset, ...]":
        """The datasets that this one was put together from, in order; only a mixture has several."""
        return (self,)

    @property
    def shares(self) -> tuple[Share, ...]:
        """How often its samples are drawn in an epoch of training: each once."""
        return (Share(num_samples=len(self), per_epoch=len(self)),)

    def is_image(self, index: int) -> bool:
        """Return whether a sample is a picture, which is one frame."""
        del index
        return self.manifest.holds_images

    def every_sample(self) -> "Dataset":
        """Return the dataset with the samples that selections left out, in the order in which they lie."""
        num_samples = len(self._readers[FRAMES].index)
        return self._with_rows(np.arange(num_samples, dtype=np.int64), chosen={"of": self.fingerprint})

    def tars_sha256(self, column: str) -> str:
        """Return the SHA-256 over the hashes of all tars of a column that the dataset was opened with."""
        return sha256(canonical_json(self._readers[column].tar_hashes))

    def meta(self, index: int) -> SampleMeta:
        """Return what is known about a sample."""
        return SampleMeta.from_json(self.member(index, FRAMES, "json"))

    def member(self, index: int, column: str, field: str) -> bytes:
        """Return the bytes of a member, such as ``frames``, ``mp4`` or ``vq.demo``, ``codes.npy``.

        Raises:
            DamageError: they do not match their checksum; names key, column and shard.
            KeyError: the dataset was opened without the column, or the column has no such field.
        """
        return bytes(self._readers[column].member(self._rows[index], field))

    def frames(self, index: int, times: Sequence[int] | Int64) -> list[UInt8]:
        """Return some stored frames of a sample, reading the bytes of these alone.

        Args:
            index: which sample.
            times: which frames, 0 for the first; in any order, also repeated.

        Returns:
            One uint8 [H, W, 3] array, RGB, for each time.

        Raises:
            DamageError: a JPEG does not match its checksum; names key, column, frame and shard.
            IndexError: the sample has no such frame, or the dataset was opened without ``frames``.
        """
        reader, row = self._readers[FRAMES], self._rows[index]
        frames = [decode(reader.frame(row, int(time))) for time in times]
        if len({frame.shape for frame in frames}) > 1:
            raise DamageError(f"The frames of {self.keys[index]} differ in size: extract it again.")
        return frames

    def array(self, index: int, column: str, field: str) -> npt.NDArray[np.generic]:
        """Return an array of a target column, such as ``codes`` of ``vq.demo``: uint16 [V, T, h, w].

        Args:
            index: which sample.
            column: the column's name.
            field: the member's name, with or without ``.npy``.

        Returns:
            A read-only view of the mapped file: no byte is copied, unless the dataset has more shards than
            may be open at once.

        Raises:
            DamageError: the member does not match its checksum, or is not an array.
            KeyError: the dataset was opened without the column, or the column has no such field.
        """
        name = field if field.endswith(".npy") else f"{field}.npy"
        data = self._readers[column].member(self._rows[index], name)
        return from_npy(data, name=f"{self.keys[index]}.{name} of column {column}")

    def rows(self, index: int, column: str, field: str, which: Int64) -> npt.NDArray[np.generic]:
        """Return some tokens of an array of a target column, copied; see `array`.

        After a sample's first time, which compares its checksum, only the pages of these tokens are read.

        Args:
            index: which sample.
            column: the column's name.
            field: the member's name, with or without ``.npy``; an array [V, T, h, w, ...].
            which: int64 [R], tokens by their number in the order of views, frames, rows and columns.

        Returns:
            [R, ...].

        Raises:
            DamageError: the member does not match its checksum, or is not an array of tokens.
            IndexError: there is no such token.
            KeyError: the dataset was opened without the column, or the column has no such field.
        """
        name = field if field.endswith(".npy") else f"{field}.npy"
        data = self._readers[column].mapped(self._rows[index], name)
        what = f"{self.keys[index]}.{name} of column {column}"
        array = from_npy(data, name=what)
        if array.ndim < 4:
            raise DamageError(f"{what} holds no tokens: compute it again.")
        return array.reshape(-1, *array.shape[4:])[which]

    def stored(self, column: str, field: str) -> tuple[Int64, UInt32]:
        """Return bytes and CRC-32 of a member of every sample, int64 and uint32 [N], without reading any."""
        index = self._readers[column].index
        place = index.fields.index(field)
        return index.sizes[self._rows, place], index.crcs[self._rows, place]

    def select(self, indices: Sequence[int] | Int64) -> "Dataset":
        """Return the dataset of these samples, in this order."""
        rows = self._rows[np.asarray(indices, dtype=np.int64)]
        chosen = {"all": self.fingerprint, "rows": sha256(np.asarray(indices, dtype="<i8").tobytes())}
        return self._with_rows(rows, chosen=chosen)

    def with_columns(self, columns: Sequence[str]) -> "Dataset":
        """Return the same samples in the same order, opened with other columns; raises what that raises."""
        return open_dataset(self.data, columns=columns).select(self._rows)

    def _with_rows(self, rows: Int64, *, chosen: dict[str, str]) -> "Dataset":
        return Dataset(
            self.data,
            manifest=self.manifest,
            readers=self._readers,
            rows=rows,
            columns=self.columns,
            fingerprint=sha256(canonical_json(chosen)),
        )

    def find(self, text: str) -> int:
        """Return the number of the sample that a key, the start of a key, or a source's path means.

        Raises:
            UsageError: it means no sample, several, or one that was rejected.
        """
        return Lookup(self.data, keys=self.keys.to_bytes()).row(text)
