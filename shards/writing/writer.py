"""Writes one shard: a tar streamed to a temporary name, its indexes, and last its report."""

import contextlib
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NotRequired, Self, TypedDict, Unpack

from vfm.shards.format.index import FRAME_FIELD, IndexRow, Span, WrittenSample, write_index
from vfm.shards.format.interop import shard_files, shard_paths
from vfm.shards.format.layout import index_path, report_path, tar_path
from vfm.shards.format.rejection import Rejection
from vfm.shards.format.report import ShardReport, write_report
from vfm.shards.io.atomic import naming, publish, temp_path, write_bytes
from vfm.shards.io.spool import Payload, part_of, pieces_of
from vfm.shards.io.tar import BLOCK_BYTES, END_OF_TAR, member_header


class ReportFields(TypedDict):
    """What the maker of a shard adds to its report; see ``ShardReport``."""

    column: str
    fingerprint: str
    num_partial: NotRequired[int]
    frames_sha256: NotRequired[str | None]
    rejected: NotRequired[tuple[Rejection, ...]]
    new_sizes_bytes: NotRequired[dict[str, int]]
    elapsed_s: NotRequired[float]
    tools: NotRequired[dict[str, str]]


class ShardWriter:
    """Context manager that writes the shard ``folder/shard``; leaving it without commit leaves nothing.

    The bytes are a function of the samples alone: no time, user, host or path enters the tar or the index.

        with ShardWriter(data / "frames", "000000") as writer:
            writer.add(key, {"json": meta, "mp4": video}, row=IndexRow(num_frames=20, ...))
            report = writer.commit(column="frames", fingerprint=column.fingerprint)
    """

    def __init__(self, folder: Path, shard: str) -> None:
        self._folder = folder
        self._shard = shard
        self._path = tar_path(folder, shard)
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._entries: list[WrittenSample] = []
        self._keys: set[str] = set()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        temp = temp_path(self._path)
        try:
            self._file = temp.open("wb")
        except BaseException:  # a signal can come between the file and ``__exit__``, which would remove it
            temp.unlink(missing_ok=True)
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._abandon(self._file)

    def add(self, key: str, members: Mapping[str, Payload], *, row: IndexRow) -> None:
        """Append one sample.

        Args:
            key: its name, new in this shard.
            members: bytes by field (the name after the key and a dot), in their order in the tar; every
                sample of a shard has the same fields.
            row: what the index says of it beside the offsets; frame offsets count inside the mp4.

        Raises:
            OSError: the disk is full or gone; nothing of the shard will appear.
        """
        assert not self._entries or tuple(members) == tuple(self._entries[0].members), "fields differ"
        assert key not in self._keys, f"{key} twice in a shard"
        assert len(row.frame_offsets) == len(row.frame_sizes), "a frame without offset or size"
        spans = {field: self._member(f"{key}.{field}", payload) for field, payload in members.items()}
        frames: tuple[Span, ...] = ()
        if row.frame_offsets:
            frames = _frame_spans(members[FRAME_FIELD], at=spans[FRAME_FIELD].offset, row=row)
        self._entries.append(WrittenSample(key=key, row=row, members=spans, frames=frames))
        self._keys.add(key)

    def commit(self, **fields: Unpack[ReportFields]) -> ShardReport:
        """Publish tar, index, the indexes of other readers and the report, in this order; return the report.

        A shard without samples gets a report alone.
        """
        assert self._file is not None, "commit belongs inside the with block, once"
        index_sha256 = self._publish(self._file) if self._entries else None
        report = ShardReport(
            shard=self._shard,
            num_samples=len(self._entries),
            num_frames=sum(entry.row.num_frames for entry in self._entries),
            size_bytes=self._size_bytes,
            sha256=self._digest.hexdigest() if self._entries else None,
            index_sha256=index_sha256,
            **fields,
        )
        if not self._entries:
            self._abandon(self._file)
            tar_path(self._folder, self._shard).unlink(missing_ok=True)
            index_path(self._folder, self._shard).unlink(missing_ok=True)
            for path in shard_paths(self._folder, self._shard):
                path.unlink(missing_ok=True)
        self._file = None
        write_report(self._folder, report)
        return report

    def _publish(self, file: BinaryIO) -> str:
        # A report of an older try would vouch for the new tar before it is complete.
        report_path(self._folder, self._shard).unlink(missing_ok=True)
        self._write(END_OF_TAR)
        publish(file, self._path)
        index_sha256 = write_index(index_path(self._folder, self._shard), self._entries)
        samples = [(entry.key, entry.members) for entry in self._entries]
        for path, data in shard_files(self._folder, self._shard, samples).items():
            write_bytes(path, data)
        return index_sha256

    def _abandon(self, file: BinaryIO) -> None:
        # On a full disk what was buffered cannot go out; the fault that matters is on its way already.
        with contextlib.suppress(OSError):
            file.close()
        temp_path(self._path).unlink(missing_ok=True)

    def _member(self, name: str, payload: Payload) -> Span:
        self._write(member_header(name, size_bytes=len(payload)))
        offset, crc32 = self._size_bytes, 0
        for piece in pieces_of(payload):
            self._write(piece)
            crc32 = zlib.crc32(piece, crc32)
        self._write(bytes(-len(payload) % BLOCK_BYTES))
        return Span(offset=offset, size_bytes=len(payload), crc32=crc32)

    def _write(self, data: bytes) -> None:
        assert self._file is not None, "add belongs inside the with block, before commit"
        with naming(self._path):
            self._file.write(data)
        self._digest.update(data)
        self._size_bytes += len(data)


def _frame_spans(video: Payload, *, at: int, row: IndexRow) -> tuple[Span, ...]:
    """Return where each JPEG is in the tar, given where the video that holds them starts."""
    spans = []
    for offset, size_bytes in zip(row.frame_offsets, row.frame_sizes, strict=True):
        assert 0 <= offset <= len(video) - size_bytes, "a frame outside its video"
        crc32 = zlib.crc32(part_of(video, offset, size_bytes))
        spans.append(Span(offset=at + offset, size_bytes=size_bytes, crc32=crc32))
    return tuple(spans)
