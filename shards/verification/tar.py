"""Compares a tar with its report and its index, and finds the member that a flipped bit is in."""

import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vfm.shards.format.index import FRAME_FIELD, Index, Span
from vfm.shards.format.layout import tar_path
from vfm.shards.format.report import ShardReport
from vfm.shards.io.hashing import sha256_file
from vfm.shards.io.tar import BLOCK_BYTES, member_header, padded
from vfm.shards.verification.finding import Finding


def check_tar(folder: Path, *, report: ShardReport, index: Index | None) -> Iterator[Finding]:
    """Yield what differs between a shard's tar, its report and its index; None when that is damaged."""
    path = tar_path(folder, report.shard)
    file = f"{folder.name}/{path.name}"
    if report.sha256 is None:
        if path.exists():
            yield Finding(file=file, message="The report counts no samples, but there is a tar.")
        return
    if not path.exists():
        yield Finding(file=file, message="The tar is missing although its shard is done.")
        return
    size_bytes = path.stat().st_size
    if size_bytes != report.size_bytes:
        yield Finding(file=file, message=f"It has {size_bytes} bytes and should have {report.size_bytes}.")
    if size_bytes == report.size_bytes and sha256_file(path) == report.sha256:
        yield from _check_names(path, file=file, index=index)
        return
    located = list(_locate(path, file=file, index=index)) if index is not None else []
    yield from located or [Finding(file=file, message="Its SHA-256 is not the one in its report.")]


def members(index: Index) -> Iterator[tuple[str, Span]]:
    """Yield name and span of every member, in the order of the tar."""
    for row, key in enumerate(index.keys):
        for field in index.fields:
            yield f"{key.decode()}.{field}", index.member(row, field)


def _check_names(path: Path, *, file: str, index: Index | None) -> Iterator[Finding]:
    """Compare names, offsets and sizes in a sound tar with the index, through another reader of tars."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            found = [(info.name, info.offset_data, info.size) for info in tar]
    except (tarfile.TarError, ValueError) as error:
        yield Finding(file=file, message=f"It is not a tar ({error}), although its SHA-256 is right.")
        return
    if index is None:
        return
    told = [(name, span.offset, span.size_bytes) for name, span in members(index)]
    if found != told:
        yield Finding(file=file, message="The members of the tar are not those of its index.")


def _locate(path: Path, *, file: str, index: Index) -> Iterator[Finding]:
    """Yield each member of a damaged tar whose header, bytes or padding differ from what was written."""
    with path.open("rb") as tar:
        position = 0
        for number, (name, span) in enumerate(members(index)):
            for part in _damaged_parts(tar, name=name, span=span, position=position):
                extra = _damaged_frames(tar, index=index, number=number) if part == "bytes" else ""
                yield Finding(
                    file=file, member=name, message=f"Its {part} differ from what was written{extra}."
                )
            position = span.offset + padded(span.size_bytes)
        tar.seek(position)
        if tar.read() != bytes(2 * BLOCK_BYTES):
            yield Finding(file=file, member="end of the tar", message="It is not two blocks of zeros.")


def _damaged_parts(tar: BinaryIO, *, name: str, span: Span, position: int) -> Iterator[str]:
    tar.seek(position)
    if tar.read(span.offset - position) != member_header(name, size_bytes=span.size_bytes):
        yield "header"
    tar.seek(span.offset)
    payload = _read(tar, span.size_bytes)
    if len(payload) != span.size_bytes or zlib.crc32(payload) != span.crc32:
        yield "bytes"
    if tar.read(padded(span.size_bytes) - span.size_bytes).strip(b"\0"):
        yield "padding"


def _damaged_frames(tar: BinaryIO, *, index: Index, number: int) -> str:
    """Return which frames of a damaged video differ, in words; empty for other members."""
    row, column = divmod(number, len(index.fields))
    if index.fields[column] != FRAME_FIELD:
        return ""
    damaged = []
    for time in range(int(index.frame_splits[row + 1] - index.frame_splits[row])):
        span = index.frame(row, time)
        tar.seek(span.offset)
        if zlib.crc32(_read(tar, span.size_bytes)) != span.crc32:
            damaged.append(str(time))
    return f" (frames {', '.join(damaged)})" if damaged else " (outside its frames)"


def _read(tar: BinaryIO, size_bytes: int) -> bytes:
    """Read that many bytes or what there is: memory is taken for as many as are asked for."""
    return tar.read(min(size_bytes, os.fstat(tar.fileno()).st_size))
