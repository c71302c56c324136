"""Walks the headers of a tar by hand, within bounds: nothing is extracted, and no link is followed.

Source: POSIX.1-2001 (pax and ustar interchange formats), and GNU tar's long names (``L``) and sparse files.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from vfm.shards.io.tar import BLOCK_BYTES, padded

_MAX_EXTENDED_BYTES = 1 << 20  # of a pax record or a long name; a hostile size would be read into memory
_WITHOUT_BYTES = (
    tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
)  # fmt: skip
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


class TarError(Exception):
    """The bytes are not a tar that this module reads; the message says why and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a tar.

    Attributes:
        name: as the tar writes it.
        offset: where its bytes begin, from the start of the tar.
        size_bytes: how many they are.
        is_plain: False for links, devices and sparse files, whose bytes are not simply there.
    """

    name: str
    offset: int
    size_bytes: int
    is_plain: bool


def members(descriptor: int) -> Iterator[Member]:
    """Yield the members of an open tar that are not folders, in their order.

    Raises:
        TarError: it is not a tar, is compressed, ends before its last member does, or has an absurd header.
    """
    end = os.fstat(descriptor).st_size
    at, extended = 0, dict[str, str]()
    while (block := os.pread(descriptor, BLOCK_BYTES, at)) and block.strip(b"\0"):
        info = _header(block, at=at)
        offset = _after_header(descriptor, block, at=at)
        size_bytes = _size(info, extended, at=at)
        if offset + size_bytes > end:
            raise TarError(f"it ends before its member at byte {at} does")
        if info.type in {tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.SOLARIS_XHDTYPE}:
            extended |= _extended(descriptor, info, offset=offset)
        elif info.type not in {tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK}:
            is_sparse = any(name.startswith("GNU.sparse") for name in extended)
            name = extended.get("GNU.sparse.name") or extended.get("path") or info.name
            extended = {}
            if info.type != tarfile.DIRTYPE:
                is_plain = info.type in _REGULAR and not is_sparse
                yield Member(name=name, offset=offset, size_bytes=size_bytes, is_plain=is_plain)
        at = offset + padded(size_bytes)
    if at == 0:
        raise TarError("it does not begin with a member")


def _header(block: bytes, *, at: int) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise TarError(f"{error} at byte {at}") from None


def _after_header(descriptor: int, block: bytes, *, at: int) -> int:
    """Return where the bytes of a member begin: after its header, and after those of a sparse file's map."""
    offset = at + BLOCK_BYTES
    has_more = block[156:157] == tarfile.GNUTYPE_SPARSE and block[482]
    while has_more:
        block = os.pread(descriptor, BLOCK_BYTES, offset)
        if len(block) < BLOCK_BYTES:
            raise TarError(f"it ends before its member at byte {at} does")
        has_more = block[504]
        offset += BLOCK_BYTES
    return offset


def _size(info: tarfile.TarInfo, extended: dict[str, str], *, at: int) -> int:
    """Return how many bytes follow a header; links, folders and devices have none, whatever they claim."""
    if info.type in _WITHOUT_BYTES:
        return 0
    told = extended.get("size", str(info.size))
    if not (told.isascii() and told.isdigit()):
        raise TarError(f"the size of its member at byte {at} is {told!r}")
    return int(told)


def _extended(descriptor: int, info: tarfile.TarInfo, *, offset: int) -> dict[str, str]:
    """Return what a pax header or a long name says of the member after it."""
    if info.size > _MAX_EXTENDED_BYTES:
        raise TarError(f"a name or record of {info.size} bytes at byte {offset}")
    data = os.pread(descriptor, info.size, offset)
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    return _pax(data, at=offset)


def _pax(data: bytes, *, at: int) -> dict[str, str]:
    """Return the records of a pax header, each ``LENGTH NAME=VALUE`` and a newline."""
    records: dict[str, str] = {}
    while data.strip(b"\0"):
        digits, _, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        name, is_named, value = data[len(digits) + 1 : length].partition(b"=")
        if not is_named or not value.endswith(b"\n") or length > len(data):
            raise TarError(f"a broken pax record at byte {at}")
        records[name.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        data = data[length:]
    return records
