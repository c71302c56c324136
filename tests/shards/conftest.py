"""Small datasets written by the real writer; the ``mp4`` member is JPEGs one after the other."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from vfm.shards.format.index import IndexRow
from vfm.shards.format.interop import finish_column
from vfm.shards.format.layout import shard_name
from vfm.shards.format.manifest import Manifest, make_column, write_manifest
from vfm.shards.format.plan import Plan, Source, build_plan, write_plan
from vfm.shards.format.quarantine import write_quarantine
from vfm.shards.format.rejection import Rejection
from vfm.shards.format.report import ShardReport
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.npy import to_npy
from vfm.shards.pixels.jpeg import encode
from vfm.shards.writing.writer import ShardWriter

FIELDS = ("json", "mp4", "cls")


def make_source(name: str, **changes: object) -> Source:
    """Return a source whose key is its name."""
    source = Source(
        key=name,
        identity=f"videos/{name}.mp4",
        path=f"/somewhere/videos/{name}.mp4",
        labels=("run",) if name.endswith(("1", "3")) else ("walk",),
        split="train" if name < "v5" else "val",
        size_bytes=1000,
        mtime_ns=5,
    )
    return replace(source, **changes)  # type: ignore[arg-type]


def make_frames(key: str, *, num_frames: int) -> np.ndarray:
    """Return smooth frames that differ between keys and times: uint8 [T, 24, 32, 3]."""
    ramp = np.linspace(0, 100, 24 * 32 * 3).reshape(24, 32, 3)
    base = sum(key.encode()) % 100
    return np.stack([(ramp + base + 5 * time).astype(np.uint8) for time in range(num_frames)])


def make_meta(source: Source, *, num_frames: int) -> SampleMeta:
    """Return the metadata of a made-up video of 24 by 32 px at 2 frames per second."""
    return SampleMeta(
        key=source.key,
        source=source.identity,
        outcome="ok",
        fps=2.0,
        sampling="grid",
        num_frames=num_frames,
        pts_s=tuple(time / 2 for time in range(num_frames)),
        width_px=32,
        height_px=24,
        source_width_px=64,
        source_height_px=48,
        source_fps=30.0,
        source_duration_s=num_frames / 2,
        codec="h264",
        pix_fmt="yuv420p",
        container="mov",
        rotation_deg=0,
        sample_aspect_ratio="1:1",
        color={"space": "bt709"},
        labels=source.labels,
        captions=source.captions,
        split=source.split,
    )


def frame_members(source: Source, plan: Plan) -> tuple[dict[str, bytes], IndexRow]:
    """Return the members of a sample of 1 to 4 frames, and its row in the index."""
    num_frames = 1 + sum(source.key.encode()) % 4
    jpegs = [encode(frame, quality=90) for frame in make_frames(source.key, num_frames=num_frames)]
    head = b"a container's head"
    starts = np.cumsum([len(head), *map(len, jpegs)])[:-1].tolist()
    class_index = -1 if source.label is None else plan.classes.index(source.label)
    row = IndexRow(
        num_frames=num_frames,
        class_index=class_index,
        split=source.split or "",
        frame_offsets=starts,
        frame_sizes=[len(jpeg) for jpeg in jpegs],
    )
    members = {
        "json": make_meta(source, num_frames=num_frames).to_json(),
        "mp4": head + b"".join(jpegs),
        "cls": str(class_index).encode(),
    }
    return members, row


def make_codes(key: str, *, num_frames: int) -> np.ndarray:
    """Return codes that tell their key: uint16 [1, T, 3, 4]."""
    return np.full((1, num_frames, 3, 4), sum(key.encode()), np.uint16)


@dataclass
class Recipe:
    """What to put into a dataset."""

    num_sources: int = 8
    samples_per_shard: int = 3
    rejected: tuple[str, ...] = ("v6",)
    targets: tuple[str, ...] = ("vq.demo",)
    skip_shards: dict[str, set[int]] = field(default_factory=dict)
    splits: tuple[str | None, ...] = ()  # take turns; where there are none they are those of `make_source`


def write_frames(data: Path, plan: Plan, *, shard: int, fingerprint: str, rejected: set[str]) -> ShardReport:
    """Write one frames shard."""
    with ShardWriter(data / "frames", shard_name(shard)) as writer:
        for source in plan.shard(shard):
            if source.key not in rejected:
                members, row = frame_members(source, plan)
                writer.add(source.key, members, row=row)
        faults = tuple(
            Rejection(
                key=s.key, source=s.identity, reason="no_video", message="No picture in it.", tool="test"
            )
            for s in plan.shard(shard)
            if s.key in rejected
        )
        return writer.commit(column="frames", fingerprint=fingerprint, rejected=faults)


def write_target(data: Path, name: str, *, plan: Plan, frames: ShardReport, fingerprint: str) -> ShardReport:
    """Write one shard of codes."""
    rejected = {rejection.key for rejection in frames.rejected}
    with ShardWriter(data / name, frames.shard) as writer:
        for source in plan.shard(int(frames.shard)):
            if source.key not in rejected:
                num_frames = 1 + sum(source.key.encode()) % 4
                codes = to_npy(make_codes(source.key, num_frames=num_frames))
                writer.add(source.key, {"codes.npy": codes}, row=IndexRow(num_frames=num_frames))
        return writer.commit(column=name, fingerprint=fingerprint, frames_sha256=frames.sha256)


def write_dataset(data: Path, recipe: Recipe) -> Plan:
    """Write a whole dataset as the real jobs do, and return its plan."""
    names = [f"v{number}" for number in range(recipe.num_sources)]
    own = [
        {"split": recipe.splits[i % len(recipe.splits)]} if recipe.splits else {} for i in range(len(names))
    ]
    sources = [make_source(name, **changes) for name, changes in zip(names, own, strict=True)]
    plan = build_plan(sources, samples_per_shard=recipe.samples_per_shard)
    data.mkdir(parents=True)
    write_plan(data / "plan.parquet", plan)
    frames = make_column("frames", kind="frames", fields=FIELDS, options={"fps": 2.0}, source=None)
    manifest = Manifest(
        plan_sha256=plan.sha256,
        num_sources=len(plan.sources),
        num_shards=plan.num_shards,
        classes=plan.classes,
        columns={"frames": frames},
        made_with={"vfm": "0"},
    )
    for name in recipe.targets:
        column = make_column(
            name, kind="vq", fields=("codes.npy",), options={"sha256": "0"}, source=frames.fingerprint
        )
        manifest = manifest.with_column(column)
    write_manifest(data, manifest)
    reports: dict[str, list[ShardReport]] = {name: [] for name in manifest.columns}
    for shard in range(plan.num_shards):
        if shard in recipe.skip_shards.get("frames", set()):
            continue
        report = write_frames(
            data, plan, shard=shard, fingerprint=frames.fingerprint, rejected=set(recipe.rejected)
        )
        reports["frames"].append(report)
        for name in recipe.targets:
            if shard not in recipe.skip_shards.get(name, set()):
                fingerprint = manifest.columns[name].fingerprint
                reports[name].append(
                    write_target(data, name, plan=plan, frames=report, fingerprint=fingerprint)
                )
    for name, done in reports.items():
        if len(done) == plan.num_shards:
            finish_column(data / name, reports=done, has_splits=plan.has_splits)
    write_quarantine(data)
    return plan


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a dataset from the fields of ``Recipe`` and returns its folder."""

    def make(name: str = "data", **fields: object) -> Path:
        write_dataset(tmp_path / name, Recipe(**fields))  # type: ignore[arg-type]
        return tmp_path / name

    return make


@pytest.fixture
def source() -> Callable[..., Source]:
    """Return the function that makes a source by name."""
    return make_source


@pytest.fixture
def meta() -> Callable[..., SampleMeta]:
    """Return the function that makes the metadata of a source."""
    return make_meta


@pytest.fixture
def frames_of() -> Callable[..., np.ndarray]:
    """Return the function that makes the frames of a key."""
    return make_frames
