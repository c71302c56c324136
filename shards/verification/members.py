"""Looks into the members of a sound tar: metadata against index, every JPEG, every array."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfm.shards.columns.arrays import Array, array_faults
from vfm.shards.errors import DamageError
from vfm.shards.format.index import FRAME_FIELD, Index
from vfm.shards.format.layout import tar_path
from vfm.shards.format.report import ShardReport
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.npy import from_npy
from vfm.shards.pixels.jpeg import decode as decode_jpeg
from vfm.shards.verification.finding import Finding


def check_members(
    folder: Path,
    *,
    report: ShardReport,
    index: Index,
    classes: tuple[str, ...],
    options: Mapping[str, Any],
    decode: bool,
) -> Iterator[Finding]:
    """Yield what is wrong inside the members of a tar whose own hash is right.

    Args:
        folder: the column's folder.
        report: the shard's report.
        index: the shard's index.
        classes: the manifest's, to compare labels with.
        options: the column's, to compare arrays with.
        decode: also decode every JPEG and read every array.
    """
    path = tar_path(folder, report.shard)
    with path.open("rb") as tar:
        for row, key in enumerate(index.keys):
            payloads: dict[str, bytes] = {}
            for field in index.fields:
                span = index.member(row, field)
                tar.seek(span.offset)
                payloads[field] = tar.read(span.size_bytes)
            sample = _Sample(key=key.decode(), row=row, index=index, payloads=payloads)
            for field, message in _faults(sample, classes=classes, options=options, decode=decode):
                name = f"{sample.key}.{field}"
                yield Finding(file=f"{folder.name}/{path.name}", member=name, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    key: str
    row: int
    index: Index
    payloads: dict[str, bytes]


def _faults(
    sample: _Sample, *, classes: tuple[str, ...], options: Mapping[str, Any], decode: bool
) -> Iterator[tuple[str, str]]:
    """Yield (field, sentence) for each member that is not what the index and the format say."""
    arrays: dict[str, Array] = {}
    for field, payload in sample.payloads.items():
        if zlib.crc32(payload) != sample.index.member(sample.row, field).crc32:
            yield field, "The index has another checksum."
        try:
            if field == "json":
                yield from ((field, told) for told in _meta_faults(sample, payload=payload, classes=classes))
            elif field == FRAME_FIELD:
                yield from ((field, told) for told in _frame_faults(sample, decode=decode))
            elif field.endswith(".npy") and decode:
                arrays[field] = from_npy(payload, name=f"{sample.key}.{field}")
        except DamageError as error:
            yield field, str(error)
    yield from array_faults(arrays, options=options, num_frames=int(sample.index.num_frames[sample.row]))


def _meta_faults(sample: _Sample, *, payload: bytes, classes: tuple[str, ...]) -> Iterator[str]:
    meta = SampleMeta.from_json(payload)
    index, row = sample.index, sample.row
    class_index = -1 if meta.label is None or meta.label not in classes else classes.index(meta.label)
    told = (meta.key, meta.num_frames, class_index, meta.split or "")
    found = (sample.key, int(index.num_frames[row]), int(index.class_index[row]), str(index.split[row]))
    if told != found:
        yield f"It says {told} for key, frames, class and split, and the index {found}."
    if "cls" in sample.payloads and sample.payloads["cls"].strip() != str(class_index).encode():
        yield "The .cls member beside it names another class."


def _frame_faults(sample: _Sample, *, decode: bool) -> Iterator[str]:
    index, row = sample.index, sample.row
    video, payload = index.member(row, FRAME_FIELD), sample.payloads[FRAME_FIELD]
    num_spans = int(index.frame_splits[row + 1] - index.frame_splits[row])
    if num_spans != int(index.num_frames[row]):
        yield f"The index has {num_spans} frames and {index.num_frames[row]} in its count."
    sizes_px: set[tuple[int, ...]] = set()
    for time in range(num_spans):
        span = index.frame(row, time)
        start = span.offset - video.offset
        jpeg = payload[max(start, 0) : start + span.size_bytes]
        if len(jpeg) != span.size_bytes or zlib.crc32(jpeg) != span.crc32:
            yield f"Frame {time} is not where the index says."
        elif decode:
            try:
                sizes_px.add(decode_jpeg(jpeg).shape[:2])
            except DamageError as error:
                yield f"Frame {time}: {error}"
    if len(sizes_px) > 1:
        yield f"Its frames have {len(sizes_px)} sizes, from {min(sizes_px)} to {max(sizes_px)} px."
