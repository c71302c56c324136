"""Numbers and lists in sentences."""

from collections.abc import Sequence


def counted(count: int, what: str) -> str:
    """Return ``1 sample`` or ``2 samples`` for the singular ``what``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def listed(items: Sequence[str], *, limit: int, separator: str = ", ") -> str:
    """Return the first items and how many follow: ``a, b and 3 more``, or ``a; b; and 3 more``."""
    text, more = separator.join(items[:limit]), len(items) - limit
    return text if more <= 0 else f"{text}{separator.rstrip(', ')} and {more} more"


def clock(seconds: float) -> str:
    """Return a time that is left as ``h:mm:ss``."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
