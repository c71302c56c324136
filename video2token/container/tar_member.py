"""Copies a video out of a tar or a table into a file without a name, because decoders open files."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NoReturn

from vfm.video2token.container.parquet_rows import read_bytes
from vfm.video2token.rejection import RejectReason, VideoRejected

_CHUNK_BYTES = 16 << 20


def opened_source(
    path: str, *, offset: int | None, size_bytes: int, mtime_ns: int
) -> AbstractContextManager[str]:
    """Return the path to decode for a source: its own, or that of its copy out of a tar or a Parquet table.

    Args: as of `extracted`; without ``offset`` the file is the video.

    Raises: as `extracted`.
    """
    if offset is None:
        return nullcontext(path)
    if path.endswith(".parquet"):
        return extracted_row(path, row=offset, mtime_ns=mtime_ns)
    return extracted(path, offset=offset, size_bytes=size_bytes, mtime_ns=mtime_ns)


@contextmanager
def extracted(path: str, *, offset: int, size_bytes: int, mtime_ns: int) -> Iterator[str]:
    """Yield a path that opens a copy of the bytes of a tar's member, for as long as the block runs.

    The copy is in the folder for temporary files (``TMPDIR``), without a name: however the process ends,
    nothing stays. Programs that this process starts can open the path too.

    Args:
        path: the tar, absolute.
        offset: where the member's bytes begin.
        size_bytes: how many they are; -1 for what has none of its own.
        mtime_ns: time of the tar's last change when the offset was found.

    Raises:
        VideoRejected: with reason not_regular, missing, permission, unreadable, changed or no_space.
    """
    if size_bytes < 0:
        raise VideoRejected(RejectReason.NOT_REGULAR, "It is a link or a sparse file inside its tar.")
    source = _open(path)
    try:
        if os.fstat(source).st_mtime_ns != mtime_ns:
            raise VideoRejected(RejectReason.CHANGED, "Its tar has changed since it was listed.")
        with tempfile.TemporaryFile(prefix="vfm-") as copy:
            _copy(source, copy.fileno(), offset=offset, size_bytes=size_bytes)
            yield f"/proc/{os.getpid()}/fd/{copy.fileno()}"
    finally:
        os.close(source)


@contextmanager
def extracted_row(path: str, *, row: int, mtime_ns: int) -> Iterator[str]:
    """Yield a path that opens a copy of the video in one row of a Parquet table, as `extracted`.

    Args:
        path: the table, absolute.
        row: counted from 0.
        mtime_ns: time of the table's last change when it was listed.

    Raises:
        VideoRejected: with reason not_video, missing, permission, unreadable, changed or no_space.
    """
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

    table = _open(path)
    try:
        if os.fstat(table).st_mtime_ns != mtime_ns:
            raise VideoRejected(RejectReason.CHANGED, "Its table has changed since it was listed.")
    finally:
        os.close(table)
    try:
        data = read_bytes(Path(path), row=row)
    except IndexError:
        raise VideoRejected(RejectReason.CHANGED, "Its table has no such row of bytes.") from None
    except (pa.ArrowException, OSError) as error:
        raise VideoRejected(RejectReason.UNREADABLE, f"Its table cannot be read ({error}).") from None
    if not data:
        raise VideoRejected(RejectReason.EMPTY, "Its row in the table holds no bytes.")
    with tempfile.TemporaryFile(prefix="vfm-", buffering=0) as copy:  # a buffer would fail again when closed
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[copy.write(rest) :]
        except OSError as error:
            _refuse_full(error, size_bytes=len(data))
        yield f"/proc/{os.getpid()}/fd/{copy.fileno()}"


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise VideoRejected(RejectReason.MISSING, "The file around it does not exist.") from None
    except PermissionError:
        raise VideoRejected(RejectReason.PERMISSION, "No permission to read the file around it.") from None
    except OSError as error:
        raise VideoRejected(
            RejectReason.UNREADABLE, f"The file around it cannot be opened ({error.strerror})."
        ) from None


def _copy(source: int, copy: int, *, offset: int, size_bytes: int) -> None:
    end = offset + size_bytes
    try:
        while offset < end:
            num_sent = os.sendfile(copy, source, offset, min(end - offset, _CHUNK_BYTES))
            if num_sent == 0:
                raise VideoRejected(RejectReason.CHANGED, "Its tar has become shorter since it was listed.")
            offset += num_sent
    except OSError as error:
        _refuse_full(error, size_bytes=size_bytes)


def _refuse_full(error: OSError, *, size_bytes: int) -> NoReturn:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        told = f"No space left for {size_bytes} bytes in {tempfile.gettempdir()} (set TMPDIR)."
        raise VideoRejected(RejectReason.NO_SPACE, told) from None
    raise VideoRejected(RejectReason.UNREADABLE, f"It cannot be copied ({error.strerror}).") from None
