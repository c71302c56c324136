"""The command that makes a column, for messages about one that is missing or out of date."""

import re
from pathlib import Path

# What follows the kind in a target's spec, for kinds that cannot do without.
_ARGUMENTS = {"vq": "CODEBOOK", "text": "VOCABULARY", "clip": "TEACHER"}
_WITHOUT_VIEWS = {"text"}  # kinds that are computed from no frames
_FRAMES, _IMPORTED = "frames", "vectors"  # kinds that no target computes
_KIND = re.compile(r"[A-Za-z0-9_-]*")
_OWN_NAME = re.compile(r"[A-Za-z0-9_-]+")


def kind_of(column: str) -> str:
    """Return the kind of a column by its name, or by a pattern of it: ``vq`` of ``vq.demo`` and ``vq.*``."""
    found = _KIND.match(column)
    assert found is not None, "the empty string matches"
    return found[0]


def target_spec(column: str) -> str:
    """Return what ``vfm tokenize --target`` takes to make a column; what only the user knows is in capitals.

    Args:
        column: a name, such as ``hog.skimage``, or a pattern of names, such as ``vq.*``.
    """
    kind, own = kind_of(column), column.partition(".")[2]
    argument = _ARGUMENTS.get(kind, own if _OWN_NAME.fullmatch(own) else "")
    return f"{kind}:{argument}" if argument else kind


def verb_of(column: str) -> str:
    """Return the command of vfm that makes a column, such as ``tokenize``."""
    return {_FRAMES: "extract", _IMPORTED: "import-hdf5"}.get(kind_of(column), "tokenize")


def tokenize_command(column: str, *, data: Path | str = "DATA", crop_px: int | None = None) -> str:
    """Return the command that makes a column of a dataset.

    Args:
        column: its name, or a pattern of it.
        data: the dataset's folder, or the word that stands for it.
        crop_px: side of the square that it is to be computed from; None leaves it to the target.
    """
    if kind_of(column) == _IMPORTED:
        return f"vfm import-hdf5 {data} FILE --name {column.partition('.')[2] or 'NAME'}"
    crop = "" if crop_px is None or kind_of(column) in _WITHOUT_VIEWS else f" --crop {crop_px}"
    return f"vfm tokenize {data} --target {target_spec(column)}{crop}"
