"""What a caller may catch: every fault a user can cause or fix, with the exit code it ends in."""

from typing import ClassVar


class VfmError(Exception):
    """A fault told to the user in one sentence: what, what we got, and what to do.

    Attributes:
        exit_code: what the command ends with when nobody catches this.
    """

    exit_code: ClassVar[int] = 2


class UsageError(VfmError):
    """What was asked for cannot be done: wrong option, missing column, another plan (exit 2)."""


class MachineError(VfmError):
    """The machine refuses: disk full, no permission, read-only, or another job holds the output (exit 3)."""

    exit_code: ClassVar[int] = 3


class DamageError(VfmError):
    """Stored bytes are not what was written: a hash, a size or a structure does not match (exit 3)."""

    exit_code: ClassVar[int] = 3
