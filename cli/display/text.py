"""Text from videos' names and errors, so that no control character reaches a terminal."""


def printable(text: str) -> str:
    """Return ``text`` with every control character escaped, so that no file name can drive the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
