"""What the stored pictures of a video are like."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """Size and quality of the stored JPEGs; ``ExtractOptions`` has checked both.

    Attributes:
        size_px: length of the short side.
        quality: 1 to 100.
    """

    size_px: int
    quality: int
