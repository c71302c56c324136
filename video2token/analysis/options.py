"""What is measured of every video, and what is left out for it."""

from dataclasses import dataclass
from typing import Any

from vfm.shards.errors import UsageError
from vfm.video2token.analysis.signals import names

STATIC_SCORE = 0.001  # a thousandth of the diagonal per second
DUPLICATE_BITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalOptions:
    """What is measured beside the frames, and what is dropped by it.

    Attributes:
        names: files of ``vfm.video2token.analysis.signals``.
        drop_static: a video whose motion score is below this is rejected as ``static``; None keeps all.
        drop_duplicates: a video whose hash differs in at most this many bits from that of a sample earlier in
            the plan is rejected as ``duplicate``; None keeps all.
    """

    names: tuple[str, ...] = ()
    drop_static: float | None = None
    drop_duplicates: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no signal can do."""
        for name in self.names:
            if name not in names():
                raise UsageError(f"Unknown signal {name!r}: choose from {', '.join(names())}.")
        if self.drop_static is not None and not self.drop_static > 0:
            raise UsageError(f"drop_static cannot be {self.drop_static}: use more than 0.")
        if self.drop_duplicates is not None and not 0 <= self.drop_duplicates < 32:
            raise UsageError(f"drop_duplicates cannot be {self.drop_duplicates}: use 0 to 31 of 64 bits.")

    @property
    def names_needed(self) -> tuple[str, ...]:
        """The signals that are asked for or needed, sorted."""
        needed = {"motion": self.drop_static, "hash": self.drop_duplicates}
        return tuple(sorted({*self.names, *(name for name, value in needed.items() if value is not None)}))

    def to_task(self) -> dict[str, Any]:
        """Return what a decoding process must know, as plain values."""
        return {"names": self.names_needed, "drop_static": self.drop_static}

    def to_column(self) -> dict[str, Any]:
        """Return what the stored bytes follow from, as it stands in the manifest: only what is asked for."""
        dropped = {"drop_static": self.drop_static, "drop_duplicates": self.drop_duplicates}
        asked = {"signals": list(self.names_needed)} if self.names_needed else {}
        return asked | {name: value for name, value in dropped.items() if value is not None}
