"""A video that becomes no sample, and why."""

from typing import Literal

from vfm.shards.format.rejection import Rejection

DROPPED = frozenset(("static", "duplicate"))  # reasons of rejections that were asked for
# Reasons that lie in the machine or the moment, not in the bytes of the video.
TRANSIENT = frozenset(
    ("changed", "crash", "memory", "missing", "no_space", "permission", "timeout", "unreadable")
)
Retry = Literal["none", "failed", "all"]


class DecoderRejected(Exception):  # noqa: N818 (an outcome of a video, not a fault of the program)
    """The video gives no sample.

    Attributes:
        reason: code to count by.
        message: one sentence for a person.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def is_retried(rejection: Rejection, *, retry: Retry) -> bool:
    """Return whether a source that was rejected is tried again; one left out on request never is."""
    if rejection.reason in DROPPED:
        return False
    return retry == "all" or (retry == "failed" and rejection.reason in TRANSIENT)
