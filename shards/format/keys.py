"""Names that are safe everywhere: the keys of samples, and what columns are called after the dot."""

import hashlib
import re

from vfm.shards.errors import UsageError

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
KEY_PATTERN = "[A-Za-z0-9_-]{1,120}"
_KEY = re.compile(KEY_PATTERN)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_MAX_SLUG = 80


def derive_key(identity: str) -> str:
    """Return the key of a source: a readable slug of its path and 8 hexadecimal digits of its hash.

    The slug is the path without its extension, every run of other characters made one ``-``, and its last
    80 characters where it is longer, because the end of a path says most. ``walk/cam 1.mp4`` gives
    ``walk-cam-1-…``. It never starts with ``-``, ``_`` or a dot, so it is safe as a file name, an option
    and a member name (WebDataset keeps names that start with ``__`` for itself).

    Args:
        identity: the source's stable name relative to its root, POSIX style; may hold lone surrogates.
    """
    digest = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    name = identity.rpartition("/")[2]
    dot = name.rfind(".")  # none at the begin or end of a name is that of a suffix
    stem = identity[: len(identity) - len(name) + dot] if 0 < dot < len(name) - 1 else identity
    slug = _UNSAFE.sub("-", stem)
    slug = slug[-_MAX_SLUG:].strip("-_") or "video"
    return f"{slug}-{digest}"


def check_key(key: str) -> str:
    """Return ``key`` when it may name a sample.

    Raises:
        UsageError: it is not 1 to 120 of ``A-Z a-z 0-9 _ -``, or it starts with ``-`` or ``__``.
    """
    if not _KEY.fullmatch(key) or key.startswith(("-", "__")):
        raise UsageError(
            f"Key {key!r} cannot name a sample: "
            "use 1 to 120 letters, digits, _ and -, not starting with - or __."
        )
    return key


def check_name(name: str) -> str:
    """Return what a column is called after the dot.

    Raises:
        UsageError: no column can be called so.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"A column cannot be called {name!r}: use letters, digits, - and _ (--name).")
    return name
