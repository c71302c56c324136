"""Whether what a column keeps beside its shards is whole: a codebook, tables or a vocabulary."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vfm.shards.columns.beside import CODEBOOK_FOLDER, CONFIG_NAME, FORMATS, HASHED, Format
from vfm.shards.errors import DamageError
from vfm.shards.io.hashing import sha256_file
from vfm.shards.io.sealed import read_sealed
from vfm.shards.verification.finding import Finding

_RESTORE = "restore it from a copy, or run the `vfm tokenize` command that made the column again."
_RESTORE_HASHED = "restore it from a copy, or drop the column and compute it again."


def check_beside(folder: Path, *, kind: str, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what of the files that make its ids mean something is not as it was written.

    Args:
        folder: of the column.
        kind: of the column.
        options: of the column.
    """
    home, weights_sha256 = folder / CODEBOOK_FOLDER, options.get("weights_sha256")
    if kind == "vq" and (weights_sha256 is not None or home.exists()):
        yield from check_kept(home, weights_sha256=weights_sha256)
    for option, place in HASHED.items():
        digest, path = options.get(option), folder / place
        if digest is not None and (not path.exists() or sha256_file(path) != digest):
            told = "Its SHA-256 is not the column's" if path.exists() else "It is missing"
            yield Finding(file=f"{folder.name}/{place}", message=f"{told}: {_RESTORE_HASHED}")


def check_kept(folder: Path, *, weights_sha256: str | None) -> Iterator[Finding]:
    """Yield what of the codebook in ``folder`` is not as it was written.

    Args:
        folder: the ``codebook`` of the column.
        weights_sha256: what the column's options say of it; None when they say nothing.
    """
    where = f"{folder.parent.name}/{folder.name}"
    try:
        config = read_sealed(folder / CONFIG_NAME)
    except (DamageError, FileNotFoundError) as error:
        told = "It is missing" if isinstance(error, FileNotFoundError) else "It is damaged"
        yield Finding(file=f"{where}/{CONFIG_NAME}", message=f"{told}: {_RESTORE}")
        return
    name = config.get("format")
    known = FORMATS.get(name) if isinstance(name, str) else None
    if known is None or (weights_sha256 is not None and config.get("weights_sha256") != weights_sha256):
        yield Finding(
            file=f"{where}/{CONFIG_NAME}", message=f"It is not the codebook that the codes are of: {_RESTORE}"
        )
        return
    fault = _weights_fault(folder / known.weights_name, config, known)
    if fault is not None:
        yield Finding(file=f"{where}/{known.weights_name}", message=f"{fault}: {_RESTORE}")


def _weights_fault(path: Path, config: dict[str, Any], known: Format) -> str | None:
    if known.is_optional and known.hash_key not in config:
        return f"{CONFIG_NAME} beside it does not know it" if path.exists() else None
    if not path.exists():
        return "It is missing"
    return (
        None
        if sha256_file(path) == config.get(known.hash_key)
        else f"Its SHA-256 is not the one in {CONFIG_NAME}"
    )
