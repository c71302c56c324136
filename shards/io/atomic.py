"""Files appear whole or not at all: temporary name, fsync, rename, fsync of the folder."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from vfm.shards.errors import DamageError

_STALE = re.compile(r"\..+\.tmp-\d+")
_CHUNK_BYTES = 1 << 20


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


def write_json(path: Path, value: object) -> None:
    """Write indented JSON with sorted keys, atomically."""
    write_bytes(path, readable_json(value))


def readable_json(value: object) -> bytes:
    """Return indented JSON with sorted keys and a newline at the end; NaN is refused."""
    return _utf8(json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False))


def canonical_json(value: object) -> bytes:
    """Return the one JSON text of ``value``: sorted keys, no spaces, UTF-8, a newline at the end.

    Raises:
        ValueError: ``value`` holds NaN or infinity, which JSON cannot say.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _utf8(text)


def _utf8(text: str) -> bytes:
    # File names that are not UTF-8 arrive as lone surrogates; written as \udcxx they survive JSON both ways.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def read_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises:
        DamageError: the bytes are not JSON.
        FileNotFoundError: there is no such file.
    """
    return parse_json(path.read_bytes(), name=str(path))


def parse_json(data: bytes, *, name: str) -> Any:
    """Return the value of JSON bytes; ``name`` says in the DamageError where they came from."""
    try:
        return json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{name} is damaged, it is not JSON ({error}): restore it from a copy.") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file of any size, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
