"""Bytes that may be many: in memory while they are few, in a file without a name beyond that."""

import tempfile
from collections.abc import Iterator
from typing import IO

_MAX_HELD_BYTES = 32 << 20
_PIECE_BYTES = 1 << 20


class Spool:
    """Bytes that are written once and then read.

    The file is in the folder for temporary files (``TMPDIR``) and has no name: however the process ends,
    nothing stays.

    Attributes:
        file: what to write to, from the start to the end; may be sought in meanwhile.

    Args:
        max_held_bytes: how many stay in memory.
    """

    def __init__(self, *, max_held_bytes: int = _MAX_HELD_BYTES) -> None:
        self._max_held_bytes = max_held_bytes
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=max_held_bytes, prefix="vfm-")  # noqa: SIM115 (closed when nobody holds it)

    def __del__(self) -> None:
        self.file.close()

    def __len__(self) -> int:
        return self.file.seek(0, 2)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Put bytes behind all others."""
        self.file.seek(0, 2)
        self.file.write(data)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return some of the bytes."""
        self.file.seek(offset)
        return self.file.read(size_bytes)

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes in order, some at a time."""
        for offset in range(0, len(self), _PIECE_BYTES):
            yield self.read(offset, _PIECE_BYTES)

    def payload(self) -> "Payload":
        """Return the bytes where they are few, else this spool."""
        return self if len(self) > self._max_held_bytes else self.read(0, self._max_held_bytes)


Payload = bytes | Spool


def pieces_of(payload: Payload) -> Iterator[bytes]:
    """Yield the bytes of a payload in order, some at a time."""
    if isinstance(payload, bytes):
        yield payload
    else:
        yield from payload.pieces()


def part_of(payload: Payload, offset: int, size_bytes: int) -> bytes | memoryview:
    """Return some bytes of a payload; of bytes in memory without a copy."""
    if isinstance(payload, bytes):
        return memoryview(payload)[offset : offset + size_bytes]
    return payload.read(offset, size_bytes)
