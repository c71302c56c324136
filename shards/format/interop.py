"""What other readers of tars want beside them: DALI's index, and Energon's index and description of a column.

Nothing in here is news: every byte follows from vfm's own indexes, reports and plan, which is also how these
files are verified.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vfm.shards.format.index import Index, Span, read_index
from vfm.shards.format.layout import index_path
from vfm.shards.format.report import ShardReport
from vfm.shards.io.atomic import clean_stale, write_bytes
from vfm.shards.io.json import readable_json
from vfm.shards.io.tar import padded

META_FOLDER = ".nv-meta"
DALI_SUFFIX = ".idx"
ENERGON_SUFFIX = ".tar.idx"
_DESCRIPTIONS = ("dataset.yaml", "split.yaml", ".info.json")
_DATASET_YAML = b"__module__: megatron.energon\n__class__: CrudeWebdataset\n"

Samples = Sequence[tuple[str, Mapping[str, Span]]]  # key and members, in the order of the tar


def shard_files(folder: Path, shard: str, samples: Samples) -> dict[Path, bytes]:
    """Return what other readers want beside the tar of a shard that holds at least one sample."""
    return {
        folder / f"{shard}{ENERGON_SUFFIX}": energon_index(samples),
        folder / f"{shard}{DALI_SUFFIX}": dali_index(samples),
    }


def shard_paths(folder: Path, shard: str) -> tuple[Path, ...]:
    """Return where the files of ``shard_files`` are."""
    return tuple(folder / f"{shard}{suffix}" for suffix in (ENERGON_SUFFIX, DALI_SUFFIX))


def samples_of(index: Index) -> Samples:
    """Return the keys and members of a shard that was written before."""
    return [
        (key.decode(), {field: index.member(row, field) for field in index.fields})
        for row, key in enumerate(index.keys)
    ]


def energon_index(samples: Samples) -> bytes:
    """Return Energon's index of a tar, ``000000.tar.idx``.

    One unsigned 64-bit little-endian number for each sample, where the header of its first member starts in
    the tar, and one more for the end of the last (``TarIndexWriter`` of Megatron Energon 7).
    """
    ends = [_end(list(members.values())[-1]) for _, members in samples]
    return np.array([0, *ends], "<u8").tobytes()


def dali_index(samples: Samples) -> bytes:
    """Return the index that DALI's ``fn.readers.webdataset`` takes, ``000000.idx``.

    Version 1.2 of the format that DALI's ``wds2idx`` writes: a line with the version and the number of
    samples, then for each sample a line with field, offset, size in bytes and name of each member.
    """
    lines = [f"v1.2 {len(samples)}"]
    for key, members in samples:
        lines.append(
            " ".join(
                f"{field} {span.offset} {span.size_bytes} {key}.{field}" for field, span in members.items()
            )
        )
    return "\n".join(lines).encode("ascii") + b"\n"


def column_files(folder: Path, *, reports: Sequence[ShardReport], has_splits: bool) -> dict[Path, bytes]:
    """Return what Energon wants to know of a complete column, the file that makes it one last.

    All shards are in the part ``all``. They are the part ``train`` too, which Energon takes unless told
    otherwise, but only when no source has a split: shards mix splits, and nobody shall train on what was set
    aside for a test without having asked for it.

    Args:
        folder: the column's folder.
        reports: one for each shard.
        has_splits: whether any source of the plan has a split.
    """
    counts = {f"{report.shard}.tar": report.num_samples for report in reports if report.num_samples}
    if not counts:
        return {}
    parts = ("all",) if has_splits else ("all", "train")
    lines = ["split_parts:"]
    for part in parts:
        lines += [f"  {part}:", *(f"  - {name}" for name in counts)]
    home = folder / META_FOLDER
    return {
        home / name: data
        for name, data in zip(
            _DESCRIPTIONS,
            (_DATASET_YAML, "\n".join(lines).encode() + b"\n", readable_json({"shard_counts": counts})),
            strict=True,
        )
    }


def is_finished(folder: Path) -> bool:
    """Return whether a column was complete once: only then is it described to other readers."""
    return any((folder / META_FOLDER / name).exists() for name in _DESCRIPTIONS)


def finish_column(folder: Path, *, reports: Sequence[ShardReport], has_splits: bool) -> None:
    """Describe a complete column to other readers, and rewrite what is missing beside its tars.

    Files that are there and right are left alone. The caller holds the dataset's lock.

    Raises:
        OSError: the disk is full or gone.
        DamageError: something is missing and the index that it follows from is damaged.
    """
    for report in reports:
        for path, data in _missing(folder, report):
            write_bytes(path, data)
    files = column_files(folder, reports=reports, has_splits=has_splits)
    clean_stale(folder / META_FOLDER)
    for path, data in files.items():
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, data)


def _missing(folder: Path, report: ShardReport) -> Iterator[tuple[Path, bytes]]:
    """Yield the files beside a tar that are gone: deleted by hand, or not known to the vfm that wrote it."""
    if report.index_sha256 is None or all(path.exists() for path in shard_paths(folder, report.shard)):
        return
    index = read_index(index_path(folder, report.shard), sha256=report.index_sha256, with_frames=False)
    for path, data in shard_files(folder, report.shard, samples_of(index)).items():
        if not path.exists():
            yield path, data


def _end(span: Span) -> int:
    """Return where the member after this one starts: at the next full block."""
    return span.offset + padded(span.size_bytes)
