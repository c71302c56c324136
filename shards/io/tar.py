"""Blocks and headers of a tar."""

import tarfile

BLOCK_BYTES = tarfile.BLOCKSIZE
END_OF_TAR = bytes(2 * BLOCK_BYTES)


def member_header(name: str, *, size_bytes: int) -> bytes:
    """Return the tar header of a member: USTAR; a PAX record goes before a name over 100 bytes."""
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def padded(size_bytes: int) -> int:
    """Return how many bytes a member of that size takes after its header: whole blocks."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES
