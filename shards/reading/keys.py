"""The names of samples, as text where they are asked for and as bytes where they are kept."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Int64


class Keys(Sequence[str]):
    """The keys of a dataset; held as ASCII bytes, a quarter of what an array of text takes."""

    def __init__(self, values: npt.NDArray[np.bytes_], *, rows: Int64) -> None:
        self._values = values
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Keys": ...
    def __getitem__(self, index: int | slice) -> "str | Keys":
        """Return one key, or the keys of a slice."""
        if isinstance(index, slice):
            return Keys(self._values, rows=self._rows[index])
        return str(self._values[self._rows[index]], "ascii")

    def __iter__(self) -> Iterator[str]:
        return (str(value, "ascii") for value in self.to_bytes())

    def to_bytes(self) -> npt.NDArray[np.bytes_]:
        """Return the keys as one array, bytes [N]."""
        return self._values[self._rows]
