"""What a data set of a stranger's file says it is, looked at before a byte of it is read or unpacked.

Refused is all that leads out of the file (links, external and virtual storage), that needs code to be loaded
(plug-in filters), that is no plain number, or that would take more memory than anybody stores on purpose.
"""

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5d, h5s, h5t, h5z

MAX_BYTES = 1 << 30  # of one data set
_MAX_CHUNK_BYTES = 64 << 20
_MAX_LZF_CHUNK_BYTES = 8 << 20  # HDF5 alone can unpack these, to 88 times what is stored at most
_MAX_CHUNKS = 1 << 17
_LZF = h5z.FILTER_LZF
_FILTERS = {
    h5z.FILTER_DEFLATE: "gzip",
    h5z.FILTER_SHUFFLE: "shuffle",
    h5z.FILTER_FLETCHER32: "fletcher32",
    _LZF: "lzf",
}
_CHECKSUM_BYTES = 4  # that fletcher32 adds to a chunk


class UnsafeError(Exception):
    """A data set is not to be read; the text is a clause that follows its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A data set that may be read.

    Attributes:
        shape: its axes; one of none makes an array without numbers.
        dtype: of its numbers, in the byte order of this machine.
        chunk_bytes: of a chunk unpacked; None where it is not stored in chunks.
        filters: what a chunk went through, in order.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_bytes: int | None
    filters: tuple[int, ...]


def look_at(dataset: h5d.DatasetID) -> Stored:
    """Return what a data set is, without reading it.

    Raises:
        UnsafeError: it is not to be read.
    """
    plist = dataset.get_create_plist()
    layout = plist.get_layout()
    # First of all: asking a virtual data set for its shape may open the files that it names.
    if layout == h5d.VIRTUAL:
        raise UnsafeError("is virtual, its numbers lie in other files")
    if plist.get_external_count():
        raise UnsafeError("has its numbers in an external file")
    filters = tuple(plist.get_filter(number)[0] for number in range(plist.get_nfilters()))
    _check_filters(filters)
    dtype = _plain_dtype(dataset.get_type())
    if dataset.get_space().get_simple_extent_type() != h5s.SIMPLE:
        raise UnsafeError("has no axes")
    shape = tuple(map(int, dataset.shape))
    size_bytes = math.prod(shape) * dtype.itemsize
    if size_bytes > MAX_BYTES:
        raise UnsafeError(f"declares {size_bytes / 2**30:.3g} GiB, more than {MAX_BYTES >> 30} GiB")
    chunk = plist.get_chunk() if layout == h5d.CHUNKED else None
    chunk_bytes = None if chunk is None else math.prod(map(int, chunk)) * dtype.itemsize
    if chunk is not None and chunk_bytes is not None:
        most = _MAX_LZF_CHUNK_BYTES if _LZF in filters else _MAX_CHUNK_BYTES
        if chunk_bytes > most:
            raise UnsafeError(f"has chunks of {chunk_bytes / 2**20:.3g} MiB, more than {most >> 20} MiB")
        num_chunks = math.prod(-(-length // int(side)) for length, side in zip(shape, chunk, strict=True))
        _check_chunks(dataset, num_chunks=num_chunks, chunk_bytes=chunk_bytes)
    elif dataset.get_storage_size() != size_bytes:
        raise UnsafeError(f"has {dataset.get_storage_size()} of its {size_bytes} bytes")
    return Stored(shape=shape, dtype=dtype, chunk_bytes=chunk_bytes, filters=filters)


def read_stored(dataset: h5d.DatasetID, stored: Stored) -> npt.NDArray[Any]:
    """Return the numbers of a data set that was looked at.

    Raises:
        UnsafeError: a chunk unpacks to more than a chunk.
    """
    if h5z.FILTER_DEFLATE in stored.filters:
        _check_inflated(dataset, stored)
    array = np.empty(stored.shape, stored.dtype)
    if array.size:
        dataset.read(h5s.ALL, h5s.ALL, array)
    return array


def _check_filters(filters: tuple[int, ...]) -> None:
    for number in filters:
        if number not in _FILTERS:
            raise UnsafeError(f"is packed by filter {number}, which would have to be loaded as a plug-in")
    packers = [place for place, number in enumerate(filters) if number in {h5z.FILTER_DEFLATE, _LZF}]
    after = filters[packers[0] + 1 :] if packers else ()
    if len(set(filters)) < len(filters) or len(packers) > 1 or set(after) - {h5z.FILTER_FLETCHER32}:
        names = ", ".join(_FILTERS[number] for number in filters)
        raise UnsafeError(f"is packed more than once ({names})")


def _plain_dtype(stored: h5t.TypeID) -> np.dtype[Any]:
    """Return the type of plain numbers; what is text, compound, of variable length or a reference is none."""
    if isinstance(stored, h5t.TypeIntegerID | h5t.TypeFloatID):
        dtype: np.dtype[Any] = stored.dtype
        if dtype.kind in "iuf" and dtype.itemsize <= 8 and stored.equal(h5t.py_create(dtype)):
            return dtype.newbyteorder("=")
    raise UnsafeError("holds something else than plain numbers")


def _check_chunks(dataset: h5d.DatasetID, *, num_chunks: int, chunk_bytes: int) -> None:
    """See that all chunks are there, and none stored larger than it is."""
    if num_chunks > _MAX_CHUNKS:
        raise UnsafeError(f"has {num_chunks} chunks, more than {_MAX_CHUNKS}")
    chunks: list[h5d.StoreInfo] = []
    dataset.chunk_iter(chunks.append)
    sizes = [int(chunk.size) for chunk in chunks]
    if len(sizes) != num_chunks:
        raise UnsafeError(f"has {len(sizes)} of its {num_chunks} chunks")
    most = chunk_bytes + chunk_bytes // 64 + 64  # what cannot be packed grows a little
    if max(sizes, default=0) > most:
        raise UnsafeError(f"has a chunk stored as {max(sizes)} bytes where it holds {chunk_bytes}")


def _check_inflated(dataset: h5d.DatasetID, stored: Stored) -> None:
    """See that every chunk unpacks to its own size: HDF5 itself unpacks whatever comes, a thousandfold."""
    assert stored.chunk_bytes is not None, "only chunks are packed"
    place = stored.filters.index(h5z.FILTER_DEFLATE)
    most = stored.chunk_bytes + _CHECKSUM_BYTES  # of fletcher32, where it came before
    chunks: list[h5d.StoreInfo] = []
    dataset.chunk_iter(chunks.append)
    for chunk in chunks:
        skipped, packed = dataset.read_direct_chunk(chunk.chunk_offset)
        if skipped >> place & 1:
            continue
        unpacker = zlib.decompressobj()  # whose rest, such as a checksum behind it, is left alone
        if len(unpacker.decompress(packed, most + 1)) > most:
            raise UnsafeError(f"has a chunk that unpacks to more than its {stored.chunk_bytes} bytes")
