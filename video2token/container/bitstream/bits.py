"""Reads headers bit by bit."""


class Bits:
    """The first 24 bytes of a header, most significant bit first; zeros follow its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:24].ljust(25, b"\0"))
        self._left = 25 * 8

    def take(self, count: int) -> int:
        """Return the next bits as a number; zeros behind the last."""
        self._left = max(0, self._left - count)
        return self._value >> self._left & ((1 << count) - 1)
