"""A source that became no sample, and why."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a source is in no shard: one line of the quarantine.

    Attributes:
        key: the key the sample would have had.
        source: the source's ``identity``.
        reason: a code to count by, a value of ``vfm.video2token.rejection.RejectReason``.
        message: one sentence for a person.
        tool: who refused it, such as ``pyav``.
    """

    key: str
    source: str
    reason: str
    message: str
    tool: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)
