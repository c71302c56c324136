"""The wanted frames of a video as JPEGs, however many they are."""

from collections.abc import Sequence
from typing import overload

import numpy as np

from vfm.shards.io.spool import Spool
from vfm.shards.pixels import jpeg

_MAX_HELD_BYTES = 32 << 20


class JpegSink:
    """Takes RGB frames tick by tick and keeps them as JPEGs.

    Args:
        quality: of the JPEGs, 1 to 100.
        max_held_bytes: beyond this they are kept in a file.
    """

    def __init__(self, *, quality: int, max_held_bytes: int = _MAX_HELD_BYTES) -> None:
        self._quality = quality
        self._left_bytes = max_held_bytes
        self._held: list[bytes] = []
        self._spilled: SpilledJpegs | None = None
        self._last = b""

    def add(self, frame: np.ndarray) -> None:
        """Keep a frame, uint8 [H,W,3] RGB."""
        self._last = jpeg.encode(frame, quality=self._quality)
        self._left_bytes -= len(self._last)
        if self._left_bytes < 0 and self._spilled is None:
            self._spilled = SpilledJpegs(self._held)
            self._held = []
        self.repeat()

    def repeat(self) -> None:
        """Keep the frame before once more, without encoding it again."""
        (self._held if self._spilled is None else self._spilled).append(self._last)

    @property
    def jpegs(self) -> Sequence[bytes]:
        """All that is kept, in order."""
        return tuple(self._held) if self._spilled is None else self._spilled


class SpilledJpegs(Sequence[bytes]):
    """JPEGs that lie in a file without a name, read one at a time."""

    def __init__(self, jpegs: Sequence[bytes]) -> None:
        self._spool = Spool(max_held_bytes=1)
        self._spans: list[tuple[int, int]] = []
        self._size_bytes = 0
        self._last = b""
        for each in jpegs:
            self.append(each)

    def append(self, data: bytes) -> None:
        """Keep one more; the one before again, if it is the very same object, takes no room."""
        if data is not self._last:
            self._spool.append(data)
            self._last, self._size_bytes = data, self._size_bytes + len(data)
        self._spans.append((self._size_bytes - len(data), len(data)))

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        """Return one JPEG, or those of a slice."""
        if isinstance(index, slice):
            return [self._spool.read(*span) for span in self._spans[index]]
        return self._spool.read(*self._spans[index])
