"""Finds videos that look like one before them in the plan, however often the job was interrupted."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vfm.shards.format.index import read_index
from vfm.shards.format.layout import index_path
from vfm.shards.format.report import ShardReport
from vfm.shards.format.sample import SampleMeta
from vfm.shards.reading.column import ColumnReader

_FIRST_SIZE = 1024


class Duplicates:
    """The hashes of the samples so far, in the order of the plan.

    A video is a duplicate of a sample, never of another duplicate, and of the first one that is near enough.
    So what becomes of it depends on the sources before it alone.

    Args:
        folder: of the frames column.
        finished: reports of the shards that this run does not make, by their place in the plan.
        max_bits: how many of 64 bits may differ.
    """

    def __init__(self, folder: Path, *, finished: Mapping[int, ShardReport], max_bits: int) -> None:
        self._folder = folder
        self._finished = dict(sorted(finished.items()))
        self._max_bits = max_bits
        self._hashes = np.zeros(_FIRST_SIZE, np.uint64)
        self._keys: list[str] = []

    def read_before(self, shard: int) -> None:
        """Take the hashes of the finished shards before the one that is made next; call it in their order.

        Raises:
            DamageError: a finished shard is not as it was written.
        """
        for index in [index for index in self._finished if index < shard]:
            report = self._finished.pop(index)
            if report.index_sha256 is None:
                continue
            path = index_path(self._folder, report.shard)
            found = read_index(path, sha256=report.index_sha256, with_frames=False)
            reader = ColumnReader(self._folder, reports=[report], indexes=[found])
            for row in range(len(found)):
                self.add(SampleMeta.from_json(bytes(reader.member(row, "json"))))

    def find(self, meta: SampleMeta) -> str | None:
        """Return the key of the first sample that looks like this one, None when there is none."""
        value = meta.signals["hash"]
        if value is None or not self._keys:
            return None
        differing = np.bitwise_count(self._hashes[: len(self._keys)] ^ np.uint64(int(value, 16)))
        near = np.flatnonzero(differing <= self._max_bits)
        return self._keys[near[0]] if len(near) else None

    def add(self, meta: SampleMeta) -> None:
        """Take a sample that stays."""
        if (value := meta.signals["hash"]) is None:
            return
        if len(self._keys) == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._hashes[len(self._keys)] = int(value, 16)
        self._keys.append(meta.key)
