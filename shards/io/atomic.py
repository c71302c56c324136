"""Files appear whole or not at all: temporary name, fsync, rename, fsync of the folder."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_STALE = re.compile(r"\..+\.tmp-\d+")


def temp_path(path: Path) -> Path:
    """Return the hidden name under which ``path`` is written; no ``*.tar`` pattern meets it."""
    return path.with_name(f".{path.name}.tmp-{os.getpid()}")


def publish(file: BinaryIO, path: Path) -> None:
    """Give the open file ``temp_path(path)`` its final name, once its bytes are on the disk.

    Raises:
        OSError: the disk is full or gone; nothing has appeared under ``path`` then.
    """
    with naming(path):
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(temp_path(path), path)
        sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write or replace a file; a reader sees the old bytes or the new ones, never a mixture.

    Raises:
        OSError: with ``path`` as its file name; the temporary file is removed.
    """
    temp = temp_path(path)
    try:
        with naming(path), temp.open("wb") as file:
            file.write(data)
            publish(file, path)
    finally:
        temp.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put ``path`` into an OSError that names no file, as those of write and fsync do."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sync_folder(folder: Path) -> None:
    """Put the names in ``folder`` on the disk, as fsync of a file alone does not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clean_stale(folder: Path) -> int:
    """Remove what killed jobs left half-written in ``folder`` and return how many files that were.

    Only the holder of the dataset's lock may call this: to anyone else these may be files in the making.
    """
    if not folder.is_dir():
        return 0
    stale = [path for path in folder.iterdir() if is_stale(path)]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def is_stale(path: Path) -> bool:
    """Return whether ``path`` has a temporary name of ours."""
    return _STALE.fullmatch(path.name) is not None
