"""JSON text that is the same for the same values, and reading it without surprises."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from vfm.shards.errors import DamageError
from vfm.shards.io.atomic import write_bytes


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
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number
