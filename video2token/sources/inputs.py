"""What the user names, before it is read: patterns become files, and each gets a name that tells it apart."""

import os.path
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vfm.shards.errors import UsageError
from vfm.video2token.sources.entry import is_remote, refuse_remote, refuse_unreadable
from vfm.video2token.sources.folders import is_pattern, match, split_pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One file or folder to read.

    Attributes:
        path: absolute, links as they are.
        name: what the identities of its sources begin with; empty when it is the only input.
        index: of what the user named that brought it.
        is_matched: whether a pattern found it, so that nobody has named this very file.
    """

    path: Path
    name: PurePosixPath
    index: int
    is_matched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A file or folder, and the input that brought it."""

    root: Path  # the input, or the folder that a pattern begins with
    path: Path
    inside: PurePosixPath  # path relative to root where a pattern matched it
    index: int


def expand(inputs: Sequence[Path]) -> list[Input]:
    """Return the files and folders behind the inputs, in their order.

    Several inputs are told apart by as many of their last parts as it takes, of one length for all; what a
    pattern matches is named relative to the folder that the pattern begins with.

    Raises:
        UsageError: an address, a pattern that matches nothing, or one path named twice.
    """
    named = [one for index, path in enumerate(inputs) for one in _named(path, index=index)]
    plain = Counter(one.root for one in named if not one.inside.parts)
    if twice := [root for root, count in plain.items() if count > 1]:
        raise UsageError(f"{twice[0]} is named twice: name it once.")
    prefixes = _prefixes(list(dict.fromkeys(one.root for one in named)))
    return [
        Input(
            path=one.path,
            name=prefixes[one.root] / one.inside,
            index=one.index,
            is_matched=bool(one.inside.parts),
        )
        for one in named
    ]


def _named(path: Path, *, index: int) -> list[_Named]:
    if not os.path.lexists(path) and is_remote(str(path)):
        refuse_remote(str(path))
    root = Path(os.path.abspath(path))  # noqa: PTH100 (resolve would follow links)
    if not is_pattern(root):
        return [_Named(root=root, path=root, inside=PurePosixPath(), index=index)]
    folder, parts = split_pattern(root)
    matched = [
        _Named(root=folder, path=folder / name, inside=PurePosixPath(name), index=index)
        for name in match(folder, parts)
    ]
    if not matched:
        raise UsageError(
            f"{path} does not exist, and as a pattern it matches no file: name an existing file or folder."
        )
    return matched


def _prefixes(roots: Sequence[Path]) -> dict[Path, PurePosixPath]:
    """Return the shortest ends of the roots that differ, all of one length; nothing for a single root."""
    if len(roots) == 1:
        return {roots[0]: PurePosixPath()}
    for length in range(1, max(len(root.parts) for root in roots) + 1):
        ends = {root: PurePosixPath(*root.parts[1:][-length:]) for root in roots}
        if len(set(ends.values())) == len(roots):
            return ends
    return {root: PurePosixPath(*root.parts[1:]) for root in roots}


def read_input_list(path: Path) -> list[Path]:
    """Return the inputs that a file names, one on each line, or between NULs where it holds any.

    They are meant as on the command line: relative to the current folder. ``-`` reads the standard input.

    Raises:
        UsageError: there is no such file, or it names nothing.
        MachineError: it may not be read.
    """
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise UsageError(f"{path} does not exist: name a file with one input per line.") from None
    except OSError as error:
        refuse_unreadable(error)
    pieces = data.split(b"\0") if b"\0" in data else data.removeprefix(b"\xef\xbb\xbf").splitlines()
    inputs = [Path(os.fsdecode(piece)) for piece in pieces if piece.strip()]
    if not inputs:
        raise UsageError(f"{path} is empty: write one input per line.")
    return inputs
