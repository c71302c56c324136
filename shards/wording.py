"""Numbers in sentences."""


def counted(count: int, what: str) -> str:
    """Return ``1 sample`` or ``2 samples`` for the singular ``what``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def clock(seconds: float) -> str:
    """Return a time that is left as ``h:mm:ss``."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
