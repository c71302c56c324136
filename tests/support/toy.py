"""A dataset of codes made in a moment, for tests that train: fixture ``toy_dataset``."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.format.index import IndexRow
from vfm.shards.format.layout import shard_name
from vfm.shards.format.manifest import Column, Manifest, make_column, write_manifest
from vfm.shards.format.report import ShardReport
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.npy import to_npy
from vfm.shards.pixels import jpeg
from vfm.shards.pixels.views import View, centre
from vfm.shards.writing.writer import ShardWriter

VOCAB_SIZE, GRID, NUM_FRAMES, SAMPLES_PER_SHARD = 16, 4, 8, 5
WITHOUT_CAPTION = 7  # the sample that has none in columns of text
FRAMES = make_column("frames", kind="frames", fields=("json", "mp4", "cls"), options={}, source=None)


@pytest.fixture
def toy_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Return `write_dataset` into a folder of this test."""

    def write(name: str = "data", **options: object) -> Path:
        return write_dataset(tmp_path / name, **options)  # type: ignore[arg-type]

    return write


@pytest.fixture(scope="session")
def write_toy_dataset() -> Callable[..., Path]:
    """Return `write_dataset`, for fixtures that outlive a test."""
    return write_dataset


def write_dataset(
    folder: Path,
    *,
    num_samples: int = 12,
    classes: tuple[str, ...] = ("left", "right"),
    splits: tuple[str, ...] = ("train", "train", "train", "train", "val", "val"),
    columns: tuple[str, ...] = ("vq.toy",),
    unlabelled: tuple[int, ...] = (),
    codebook: str = "toy",
    crop_px: int = 32,
    enlargement: float = 1.0,
    views: tuple[View, ...] | None = None,
) -> Path:
    """Write a dataset in shards of 5 whose codes drift with the class; classes and splits take turns.

    Columns called ``text.`` hold captions, see `_captions`.

    Codes of view k are those of the first one plus k; unless given there is one, the middle.
    """
    shown = (centre(crop_px),) if views is None else views
    targets = [
        _text(name)
        if name.startswith("text.")
        else _target(name, codebook=codebook, views=shown, enlargement=enlargement)
        for name in columns
    ]
    num_shards = -(-num_samples // SAMPLES_PER_SHARD)
    for shard in range(num_shards):
        numbers = range(shard * SAMPLES_PER_SHARD, min((shard + 1) * SAMPLES_PER_SHARD, num_samples))
        rows = {
            i: IndexRow(
                num_frames=NUM_FRAMES,
                class_index=i % len(classes) if classes and i not in unlabelled else -1,
                split=splits[i % len(splits)] if splits else "",
            )
            for i in numbers
        }
        report = _write_shard(folder, FRAMES, shard_name(shard), rows, frames_sha256=None)
        for target in targets:
            _write_shard(folder, target, shard_name(shard), rows, frames_sha256=report.sha256)
    manifest = Manifest(
        plan_sha256="0" * 64,
        num_sources=num_samples,
        num_shards=num_shards,
        classes=classes,
        columns={column.name: column for column in (FRAMES, *targets)},
    )
    write_manifest(folder, manifest)
    return folder


def _text(name: str) -> Column:
    options = {
        "vocab_size": VOCAB_SIZE,
        "vocabulary": "toy",
        "vocabulary_sha256": "0" * 64,
        "pad_id": 0,
        "mask_id": 4,
        "special_ids": [0, 1, 2, 3, 4],
        "max_ids": 512,
        "dtype": "uint8",
    }
    fields = ("ids.npy", "num_ids.npy")
    return make_column(name, kind="text", fields=fields, options=options, source=FRAMES.fingerprint)


def _target(name: str, *, codebook: str, views: tuple[View, ...], enlargement: float) -> Column:
    options = {
        "vocab_size": VOCAB_SIZE,
        "codebook": codebook,
        "views": [view.to_dict() for view in views],
        **({"enlargement": enlargement} if enlargement > 1 else {}),
    }
    return make_column(name, kind="vq", fields=("codes.npy",), options=options, source=FRAMES.fingerprint)


def _write_shard(
    folder: Path, column: Column, shard: str, rows: dict[int, IndexRow], *, frames_sha256: str | None
) -> ShardReport:
    with ShardWriter(folder / column.name, shard) as writer:
        for i, row in rows.items():
            placed = replace(row, **_places(_jpegs(i))) if column.kind == "frames" else row
            writer.add(f"clip-{i:03d}", _members(column, i, row), row=placed)
        return writer.commit(column=column.name, fingerprint=column.fingerprint, frames_sha256=frames_sha256)


def _jpegs(i: int) -> list[bytes]:
    """Return a bright bar that moves over grey, as JPEGs of 32 px."""
    frames = np.full((NUM_FRAMES, 32, 32, 3), 20 * (i % 5) + 40, np.uint8)
    for time in range(NUM_FRAMES):
        frames[time, :, (4 * time + i) % 28 : (4 * time + i) % 28 + 4] = 220
    return [jpeg.encode(frame, quality=90) for frame in frames]


def _places(jpegs: list[bytes]) -> dict[str, list[int]]:
    sizes = [len(data) for data in jpegs]
    return {"frame_offsets": np.cumsum([0, *sizes[:-1]]).tolist(), "frame_sizes": sizes}


def _members(column: Column, i: int, row: IndexRow) -> dict[str, bytes]:
    if column.kind == "frames":
        return {
            "json": _meta(i, split=row.split).to_json(),
            "mp4": b"".join(_jpegs(i)),
            "cls": str(row.class_index).encode(),
        }
    if column.kind == "text":
        return _captions(i, row)
    # A bar that moves left or right, from a place that differs from sample to sample; its code is the class.
    codes = np.zeros((1, NUM_FRAMES, GRID, GRID), dtype=np.uint16)
    step = 1 if row.class_index % 2 == 0 else -1
    for time in range(NUM_FRAMES):
        codes[0, time] = np.arange(GRID) + 1
        codes[0, time, :, (i // 2 + step * time) % GRID] = 10 + row.class_index
    shifts = np.arange(len(column.options["views"]), dtype=np.uint16)[:, None, None, None]
    return {"codes.npy": to_npy((codes + shifts) % VOCAB_SIZE)}


def _captions(i: int, row: IndexRow) -> dict[str, bytes]:
    """Return two captions of a sample: its class and place as words between marks, and its place alone.

    Sample 7 has none, where there are so many.
    """
    place = 8 + i % 8
    ids = np.array([[2, 5 + row.class_index, place, 3], [2, place, 3, 0]], np.uint8)
    counts = np.array([4, 3], np.uint16)
    kept = 0 if i == WITHOUT_CAPTION else 2
    return {"ids.npy": to_npy(ids[:kept]), "num_ids.npy": to_npy(counts[:kept])}


def _meta(i: int, *, split: str) -> SampleMeta:
    return SampleMeta(
        key=f"clip-{i:03d}",
        captions=() if i == WITHOUT_CAPTION else (f"a bar at {i % 8} of some kind", f"a bar at {i % 8}"),
        source=f"clip-{i:03d}.mp4",
        outcome="ok",
        fps=2.0,
        sampling="grid",
        num_frames=NUM_FRAMES,
        pts_s=tuple(time / 2 for time in range(NUM_FRAMES)),
        width_px=32,
        height_px=32,
        source_width_px=32,
        source_height_px=32,
        source_fps=24.0,
        source_duration_s=4.0,
        codec="h264",
        pix_fmt="yuv420p",
        container="mp4",
        rotation_deg=0,
        sample_aspect_ratio="1:1",
        color={},
        split=split or None,
    )
