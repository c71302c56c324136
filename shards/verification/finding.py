"""One thing that ``vfm inspect --verify`` found."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a dataset that is not as it was written.

    Attributes:
        file: path inside the dataset, such as ``frames/000003.tar``.
        member: the member or place inside a tar, such as ``KEY.mp4``; empty when the whole file is meant.
        message: one sentence.
        kind: ``damage``, or ``unfinished`` when shards are simply not made yet.
    """

    file: str
    message: str
    member: str = ""
    kind: Literal["damage", "unfinished"] = "damage"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        place = f"{self.file}: {self.member}" if self.member else self.file
        return f"{place}: {self.message}"
