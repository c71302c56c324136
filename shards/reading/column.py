"""Reads single members and JPEGs of one column out of its tars, by memory map, each checked before use."""

import mmap
import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vfm.shards.errors import DamageError
from vfm.shards.format.index import FRAME_FIELD, Index, Span, concatenate, empty_index
from vfm.shards.format.layout import tar_path
from vfm.shards.format.report import ShardReport
from vfm.shards.open_files import max_open_shards, told_of_limit


class ColumnReader:
    """One column of a dataset, opened for reading; rows count through all of its shards.

    Nothing is opened before the first read. Pickling drops what is open, so that a worker, forked or
    spawned, opens its own.

    Attributes:
        name: the column's name.
        index: the index of all shards as one.
        tar_hashes: SHA-256 of each shard's tar, None where a shard has no samples.
    """

    def __init__(self, folder: Path, *, reports: Sequence[ShardReport], indexes: Sequence[Index]) -> None:
        """Take a column whose reports and indexes were read, in the order of the shards.

        Args:
            folder: the column's folder.
            reports: one for each shard.
            indexes: one for each shard that holds samples.
        """
        self.name = folder.name
        self.index = concatenate(indexes) if indexes else empty_index(())
        self.tar_hashes = tuple(report.sha256 for report in reports)
        self._folder = folder
        self._shards = tuple(report.shard for report in reports)
        self._sizes_bytes = tuple(report.size_bytes for report in reports)
        self._starts = np.cumsum([0, *(report.num_samples for report in reports)])
        self._maps: OrderedDict[int, mmap.mmap] = OrderedDict()
        self._sound: dict[str, bytearray] = {}  # 1 for each row whose field matched its checksum
        self._max_open = max_open_shards()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": OrderedDict()}

    def member(self, row: int, field: str) -> memoryview:
        """Return the bytes of a member, read-only.

        Raises:
            DamageError: they do not match their checksum, or their tar is gone or cut.
            MachineError: no more files may be opened.
            KeyError: the column has no such field.
        """
        return self._read(row, self.index.member(row, field), what=field)

    def mapped(self, row: int, field: str) -> memoryview:
        """Return the bytes of a member, read-only, to be let go of before the next call.

        They are compared with their checksum the first time alone, which reads all of them; after that no
        more is read than is looked at.

        Raises:
            VfmError: see `member`.
            KeyError: the column has no such field.
        """
        sound = self._sound.setdefault(field, bytearray(len(self.index)))
        span = self.index.member(row, field)
        view = memoryview(self._map(self._shard_number(row)))[span.offset : span.offset + span.size_bytes]
        if not sound[row]:
            self._check(view, row, span, what=field)
            sound[row] = 1
        return view

    def frame(self, row: int, time: int) -> memoryview:
        """Return the bytes of one JPEG, read-only.

        Raises:
            DamageError: they do not match their checksum, or their tar is gone or cut.
            MachineError: no more files may be opened.
            IndexError: the sample has no such frame.
        """
        return self._read(row, self.index.frame(row, time), what=f"{FRAME_FIELD} (frame {time})")

    def shard_of(self, row: int) -> str:
        """Return the name of the shard that holds a row."""
        return self._shards[self._shard_number(row)]

    def _shard_number(self, row: int) -> int:
        return int(np.searchsorted(self._starts, row, side="right")) - 1

    def _read(self, row: int, span: Span, *, what: str) -> memoryview:
        tar = self._map(self._shard_number(row))
        view = memoryview(tar)[span.offset : span.offset + span.size_bytes]
        self._check(view, row, span, what=what)
        # A view keeps its map open: of many shards, all that a batch is made of would stay so.
        return view if len(self._shards) <= self._max_open else memoryview(bytes(view))

    def _check(self, view: memoryview, row: int, span: Span, *, what: str) -> None:
        if zlib.crc32(view) != span.crc32:
            key = self.index.keys[row].decode()
            path = tar_path(self._folder, self.shard_of(row))
            raise DamageError(
                f"{key}.{what} of column {self.name} in {path} does not match its checksum: "
                f"run `vfm inspect {self._folder.parent} --verify`."
            )

    def _map(self, number: int) -> mmap.mmap:
        tar = self._maps.get(number)
        if tar is None:
            if len(self._maps) >= self._max_open:
                self._maps.popitem(last=False)  # closed with its last view; here there is none
            tar = self._maps[number] = self._open(number)
        self._maps.move_to_end(number)
        return tar

    def _open(self, number: int) -> mmap.mmap:
        path = tar_path(self._folder, self._shards[number])
        expected_bytes = self._sizes_bytes[number]
        try:
            with path.open("rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
                if size_bytes == expected_bytes:
                    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            size_bytes = 0
        except OSError as error:
            raise told_of_limit(error) or error from None
        # Reading a map of a shorter file would end the process with SIGBUS, so sizes are compared first.
        raise DamageError(
            f"{path} has {size_bytes} bytes where its report says {expected_bytes}: restore it from a copy, "
            f"or delete {path.with_suffix('.json').name} beside it and run the command that made it again."
        )
