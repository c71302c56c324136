"""What the numbers of a picture mean: colour codes (ITU-T H.273) with FFmpeg's names for them, and levels."""

from dataclasses import dataclass

import numpy as np

_SPACE = {
    0: "rgb", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 14: "ictcp",
}  # fmt: skip
_RANGE = {1: "limited", 2: "full"}
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
    10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_TRANSFER = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100",
    10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12",
    16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip


def describe_color(*, space: int, value_range: int, primaries: int, transfer: int) -> dict[str, str]:
    """Return the names of the codes; ``unknown`` where the source does not say.

    ``transfer`` tells HDR: ``smpte2084`` is PQ and ``arib-std-b67`` is HLG.
    """
    return {
        "space": _SPACE.get(space, "unknown"),
        "range": _RANGE.get(value_range, "unknown"),
        "primaries": _PRIMARIES.get(primaries, "unknown"),
        "transfer": _TRANSFER.get(transfer, "unknown"),
    }


HDR_TRANSFERS = ("smpte2084", "arib-std-b67")  # PQ and HLG
_UNSTATED = 2
_LIMITED, _FULL = 1, 2
# What swscale converts by; to the unstated it applies BT.601.
_CONVERTIBLE = (0, 1, 2, 4, 5, 6, 7, 9)
_DERIVED = 12  # from the primaries, by H.273 equations 32 to 37
_MATRIX_OF_PRIMARIES = {1: 1, 4: 4, 5: 5, 6: 6, 7: 7, 9: 9}
# H.264 E.2.1, H.265 E.3.1 and H.266: where the range is not stated, it is limited.
_LIMITED_UNLESS_STATED = ("h264", "hevc", "vvc")


def matrix_to_use(space: int, *, primaries: int) -> int | None:
    """Return the code of the matrix that a picture is converted by, None where there is none.

    Reserved codes count as not stated, which is BT.601 for pictures of any size, as FFmpeg has it.

    Args:
        space: matrix coefficients (H.273 table 4).
        primaries: colour primaries (H.273 table 2).
    """
    if space in _CONVERTIBLE:
        return space
    if space == _DERIVED:
        return _MATRIX_OF_PRIMARIES.get(primaries)
    return None if space in _SPACE or space in (13, 15, 16, 17) else _UNSTATED


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelCoding:
    """How the numbers of a decoded picture stand for colours.

    Attributes:
        pix_fmt: its name.
        bits: of the deepest component.
        is_rgb: whether its components are red, green and blue.
        value_range: 1 limited, 2 full, 0 not stated.
        transfer: its name, as ``describe_color`` gives it.
        primaries: their name.
    """

    pix_fmt: str
    bits: int
    is_rgb: bool
    value_range: int
    transfer: str
    primaries: str

    @property
    def is_hdr(self) -> bool:
        """Whether the picture is to be tone-mapped."""
        return self.transfer in HDR_TRANSFERS

    @property
    def is_grey(self) -> bool:
        """Whether the picture has lightness only."""
        return self.pix_fmt.startswith("gray")

    def is_full(self, codec: str) -> bool:
        """Whether the signal uses all numbers, so that black is 0."""
        if self.is_rgb or self.pix_fmt.startswith("yuvj") or self.value_range == _FULL:
            return True
        unstated_is_full = self.is_grey and codec not in _LIMITED_UNLESS_STATED
        return unstated_is_full and self.value_range != _LIMITED

    def deep_levels(self, codec: str) -> tuple[int, int]:
        """Return the codes of black and white in 16-bit RGB, as swscale makes it.

        It shifts full-range numbers up to 16 bits and fills no bits in below, puts the white of limited range
        at 255 * 256, and leaves the range of grey pictures as it is.
        """
        if self.is_full(codec):
            return 0, full_white(self.bits)
        return (16 << 8, 235 << 8) if self.is_grey else (0, 255 << 8)

    def is_plain(self, codec: str) -> bool:
        """Whether swscale's own 8-bit RGB is exact: to half a level for a picture of its own size."""
        if self.is_hdr or (self.is_grey and not self.is_full(codec)):
            return False
        return self.bits <= 8 or not self.is_full(codec)


def full_white(bits: int) -> int:
    """Return what swscale makes of the largest number of ``bits`` bits, of a float's 1 too, in 16 bits."""
    return (1 << bits) - 1 << (16 - bits) if bits < 16 else (1 << 16) - 1


def spread(codes: np.ndarray, *, black: int, white: int) -> np.ndarray:
    """Return 8-bit numbers, black 0 and white 255, of 16-bit ones, rounded once."""
    offset, span = np.int64(black), np.int64(white - black)
    levels: np.ndarray = ((codes - offset) * 255 + span // 2) // span
    return levels.clip(0, 255).astype(np.uint8)
