"""What an exported file says about itself: attributes of its root, by which it is known and taken back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vfm import __version__
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.format.layout import FRAMES
from vfm.shards.format.manifest import Column, check_column
from vfm.shards.io.json import canonical_json, parse_json
from vfm.shards.io.typed import coerce
from vfm.shards.reading.dataset import Dataset

FORMAT = "vfm-column"
FORMAT_VERSION = 1
BESIDE_GROUP = ".beside"  # files that columns of codes keep beside their shards; no key begins with a dot
_TEXTS = (
    "column",
    "kind",
    "fields",
    "options",
    "fidelity",
    "fingerprint",
    "frames_fingerprint",
    "frames_sha256",
)
ATTRIBUTES = ("format_version", *_TEXTS)  # that an import reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the arrays of an exported file come from.

    Attributes:
        column: they are of, its source the fingerprint of the frames column.
        frames_sha256: over the hashes of all frames tars, ``Dataset.tars_sha256``.
    """

    column: Column
    frames_sha256: str


def root_attributes(dataset: Dataset, column: Column) -> dict[str, str | int]:
    """Return the attributes of the root of a file that holds a column; JSON is canonical.

    Args:
        dataset: opened with its frames and the column.
        column: of its manifest.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "vfm_version": __version__,
        "column": column.name,
        "kind": column.kind,
        "fields": _json(column.fields),
        "options": _json(column.options),
        "fidelity": _json(column.fidelity),
        "fingerprint": column.fingerprint,
        "tars_sha256": dataset.tars_sha256(column.name),
        "frames_fingerprint": dataset.manifest.columns[FRAMES].fingerprint,
        "frames_sha256": dataset.tars_sha256(FRAMES),
        "num_samples": len(dataset),
    }


def read_provenance(attributes: Mapping[str, str | int | None], *, name: str) -> Provenance:
    """Return what the attributes of an exported file tell.

    Args:
        attributes: `ATTRIBUTES` of its root, None what is not there.
        name: of the file, for messages.

    Raises:
        UsageError: the file is of a newer version.
        DamageError: an attribute is missing, or is none that an export writes.
    """
    version = attributes.get("format_version")
    if version != FORMAT_VERSION:
        raise UsageError(
            f"{name} has version {version} of the format and this vfm reads version {FORMAT_VERSION}: "
            "use the vfm that made it, or export it again."
        )
    try:
        texts = {key: coerce(attributes.get(key), str, key=key) for key in _TEXTS}
        column = _column(texts, name=name)
        check_column(column)
        if column.kind == FRAMES or column.name.partition(".")[0] != column.kind:
            raise ValueError(f"a column of kind {column.kind} is not called {column.name}")
    except (ValueError, UsageError, DamageError) as error:
        why = str(error).rstrip(".")
        raise DamageError(f"The attributes of {name} are damaged ({why}): export it again.") from None
    return Provenance(column=column, frames_sha256=texts["frames_sha256"])


def _column(texts: Mapping[str, str], *, name: str) -> Column:
    fields = parse_json(texts["fields"].encode(), name=f"The attribute fields of {name}")
    options = parse_json(texts["options"].encode(), name=f"The attribute options of {name}")
    fidelity = parse_json(texts["fidelity"].encode(), name=f"The attribute fidelity of {name}")
    return Column(
        name=texts["column"],
        kind=texts["kind"],
        fields=coerce(fields, tuple[str, ...], key="fields"),
        options=coerce(options, dict[str, Any], key="options"),
        fingerprint=texts["fingerprint"],
        source=texts["frames_fingerprint"],
        fidelity=coerce(fidelity, dict[str, Any] | None, key="fidelity"),
    )


def _json(value: object) -> str:
    return canonical_json(value).decode().rstrip("\n")
