"""JSON files that prove themselves: a hash of the content inside, so that one flipped bit is found."""

from pathlib import Path
from typing import Any

from vfm.shards.errors import DamageError
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import canonical_json, parse_json, readable_json

SEAL = "self_sha256"


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Write ``value`` as indented JSON with the hash of its canonical JSON under ``self_sha256``."""
    write_bytes(path, _sealed(value))


def read_sealed(path: Path) -> dict[str, Any]:
    """Return the value of a file that ``write_sealed`` made, without the seal.

    Raises:
        DamageError: a single bit differs from what was written.
        FileNotFoundError: there is no such file.
    """
    data = path.read_bytes()
    value = parse_json(data, name=str(path))
    if not isinstance(value, dict) or SEAL not in value:
        raise DamageError(f"{path} is damaged, its {SEAL} is missing: restore it from a copy.")
    value.pop(SEAL)
    # Rendering again and comparing bytes also finds flips that JSON does not see, such as 1e-5 to 1E-5.
    if not _is_sealed(value, data):
        raise DamageError(f"{path} is damaged, it does not match its {SEAL}: restore it from a copy.")
    return value


def _is_sealed(value: dict[str, Any], data: bytes) -> bool:
    try:
        return _sealed(value) == data
    except (ValueError, RecursionError):  # nested so deeply that it can be read and not written
        return False


def _sealed(value: dict[str, Any]) -> bytes:
    return readable_json({**value, SEAL: sha256(canonical_json(value))})
