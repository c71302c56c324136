"""A video that becomes no sample, and why."""

from enum import StrEnum
from typing import Literal

from vfm.shards.format.rejection import Rejection

Retry = Literal["none", "failed", "all"]


class RejectReason(StrEnum):
    """Why a video gives no sample: the codes of the quarantine, to count by.

    Values are written to disk: none is ever renamed.
    """

    # Of the file.
    NOT_REGULAR = "not_regular"
    EMPTY = "empty"
    NOT_VIDEO = "not_video"
    NOT_IMAGE = "not_image"
    PLAYLIST = "playlist"
    STILL_IMAGE = "still_image"
    NO_VIDEO = "no_video"
    ENCRYPTED = "encrypted"
    TRUNCATED = "truncated"
    BAD_CONTAINER = "bad_container"
    # Of the pictures in it.
    UNSUPPORTED = "unsupported"
    DECODE_ERROR = "decode_error"
    BAD_ASPECT = "bad_aspect"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    EMPTY_SEGMENT = "empty_segment"
    # Of the machine or the moment.
    MISSING = "missing"
    CHANGED = "changed"
    PERMISSION = "permission"
    UNREADABLE = "unreadable"
    NO_SPACE = "no_space"
    MEMORY = "memory"
    OOM = "oom"
    TIMEOUT = "timeout"
    CRASH = "crash"
    # On request.
    STATIC = "static"
    DUPLICATE = "duplicate"


REQUESTED = frozenset((RejectReason.STATIC, RejectReason.DUPLICATE))
# Reasons that may have passed by the next run: they do not lie in the bytes of the video.
TRANSIENT = frozenset(
    (
        RejectReason.MISSING,
        RejectReason.CHANGED,
        RejectReason.PERMISSION,
        RejectReason.UNREADABLE,
        RejectReason.NO_SPACE,
        RejectReason.MEMORY,
        RejectReason.OOM,
        RejectReason.TIMEOUT,
        RejectReason.CRASH,
    )
)


class VideoRejected(Exception):  # noqa: N818 (an outcome of a video, not a fault of the program)
    """The video gives no sample.

    Attributes:
        reason: code to count by.
        message: one sentence for a person.
    """

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def is_retried(rejection: Rejection, *, retry: Retry) -> bool:
    """Return whether a source that was rejected is tried again; one left out on request never is."""
    if rejection.reason in REQUESTED:
        return False
    return retry == "all" or (retry == "failed" and rejection.reason in TRANSIENT)
