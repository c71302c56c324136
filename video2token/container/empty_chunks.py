"""Counts the empty chunks of an AVI file, which stand for frames that are as the one before.

libavformat passes over them without a word, so that they look like packets that got lost.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_LISTS = {b"AVI ", b"AVIX", b"movi", b"rec "}  # whose chunks are looked at


def num_missing(container: "InputContainer", stream: "VideoStream", *, num_packets: int) -> int:
    """Return how many packets the container promises of a stream that it does not have, 0 at least.

    Args:
        container: read to its end.
        stream: of it.
        num_packets: that were read.
    """
    count = max(0, stream.frames - num_packets)
    if count and container.format.name == "avi":
        with Path(container.name.removeprefix("file:")).open("rb") as file:
            count -= sum(1 for _ in islice(_empty(file, stream_index=stream.index), count))
    return count


def _empty(file: BinaryIO, *, stream_index: int) -> Iterator[None]:
    """Yield once for each empty chunk of a stream, as far as the file goes."""
    names = {f"{stream_index:02d}dc".encode(), f"{stream_index:02d}db".encode()}
    position = 0
    while len(head := _at(file, position)) >= 8 and head[:4].isascii() and head[0]:
        kind, length = head[:4], int.from_bytes(head[4:8], "little")
        if kind in {b"RIFF", b"LIST"} and head[8:] in _LISTS:
            position += 12
            continue
        if kind in names and not length:
            yield
        position += 8 + length + length % 2


def _at(file: BinaryIO, position: int) -> bytes:
    file.seek(position)
    return file.read(12)
