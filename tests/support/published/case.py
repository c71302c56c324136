"""A list of a data set with what it means."""

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

Sample = tuple[
    str, tuple[str, ...], tuple[str, ...], str | None, float | None, float | None
]  # identity, labels, captions, split, start_s, end_s


def sample(
    identity: str,
    *labels: str,
    captions: tuple[str, ...] = (),
    split: str | None = None,
    times_s: tuple[float | None, float | None] = (None, None),
) -> Sample:
    return (identity, labels, captions, split, *times_s)


def in_parquet(videos: list[dict[str, Any]], **columns: list[Any]) -> pa.Table:
    """Return a table as Hugging Face writes it, whose labels are a ClassLabel of ``cat`` and ``dog``."""
    table = pa.table({"video": videos, **columns})
    features = {"video": {"_type": "Video"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


@dataclass(frozen=True, kw_only=True)
class Case:
    """A list, the files beside it, and what it means.

    Attributes:
        name: of the format.
        file: name of the list.
        content: text, or the value of a JSON file, or a table.
        videos: the files that are there, of one byte each.
        samples: what the list means, in its order.
        read_as: of the sentence about the list, without its path.
        classes: in the order of their index; those that occur unless given.
        notes: more that is said, without the path.
        missing: the samples whose videos are not there.
        options: beside the defaults.
    """

    name: str
    file: str
    content: Any
    videos: tuple[str, ...]
    samples: list[Sample]
    read_as: str
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
