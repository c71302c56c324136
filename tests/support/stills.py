"""A dataset of frames made in a moment, and networks for it: ``stills``, ``tiny_codebook``, ``tiny_vit``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfm.shards.format.index import IndexRow
from vfm.shards.format.layout import shard_name
from vfm.shards.format.manifest import Manifest, make_column, write_manifest
from vfm.shards.format.sample import SampleMeta
from vfm.shards.pixels import jpeg
from vfm.shards.writing.writer import ShardWriter

COLUMN = make_column("frames", kind="frames", fields=("json", "mp4", "cls"), options={}, source=None)
CLASSES = ("down", "right")


@pytest.fixture
def stills(tmp_path: Path) -> Callable[..., Path]:
    """Return `write_stills` into a folder of this test."""

    def write(name: str = "data", **options: Any) -> Path:
        return write_stills(tmp_path / name, **options)

    return write


WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "run", "##s", "!", ".", "slow", "##ly")


@pytest.fixture(scope="session")
def tiny_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``words`` with a vocab.txt of a few words; do not write to it."""
    folder = tmp_path_factory.mktemp("vocabulary") / "words"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of timm's ``test_vit``: 64 wide, 6 blocks, patches of 16 px; do not write to it."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vit") / "vit.safetensors"
    state = timm.create_model("test_vit").state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


@pytest.fixture(scope="session")
def tiny_codebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codebook of 16 codes that has hardly learnt anything; do not write to it."""
    from vfm.shards.reading.dataset import open_dataset
    from vfm.video2token.jobs.fit_codebook.fit_codebook import fit_codebook
    from vfm.video2token.jobs.fit_codebook.options import FitOptions

    folder = tmp_path_factory.mktemp("tiny")
    data = write_stills(folder / "data")
    options = FitOptions(name="tiny", crop_px=32, vocab_size=16, steps=10)
    return fit_codebook(open_dataset(data), folder / "codebook", options).codebook


def write_stills(
    folder: Path,
    *,
    num_samples: int = 6,
    num_frames: int = 5,
    size: tuple[int, int] = (40, 32),
    source_size: tuple[int, int] | None = None,
    samples_per_shard: int = 4,
    empty_shards: int = 0,
    captions: tuple[tuple[str, ...], ...] = ((),),
    images: bool = False,
) -> Path:
    """Write samples of up to ``num_frames`` frames, a bright square that moves over a gradient.

    Samples take the tuples of captions in turn. ``source_size`` is that of the videos, where it differs.
    ``images`` says that each is a picture and no video, of ``num_frames`` 1.
    """
    options = {"images": True} if images else {}
    column = make_column("frames", kind="frames", fields=COLUMN.fields, options=options, source=None)
    num_full = -(-num_samples // samples_per_shard)
    for shard in range(num_full + empty_shards):
        numbers = range(shard * samples_per_shard, min((shard + 1) * samples_per_shard, num_samples))
        with ShardWriter(folder / "frames", shard_name(shard)) as writer:
            for i in numbers:
                length = 1 + (i + num_frames - 1) % num_frames
                sizes = (size, source_size or size)
                _add(writer, i, num_frames=length, sizes=sizes, captions=captions[i % len(captions)])
            writer.commit(column="frames", fingerprint=column.fingerprint)
    manifest = Manifest(
        plan_sha256="0" * 64,
        num_sources=num_samples + empty_shards,
        num_shards=num_full + empty_shards,
        classes=CLASSES,
        columns={"frames": column},
    )
    write_manifest(folder, manifest)
    return folder


def draw_still(sample: int, time: int, *, size: tuple[int, int] = (40, 32)) -> np.ndarray:
    """Return uint8 [H, W, 3]: the frame of a sample at a time, before JPEG."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    frame = np.stack([4 * x + 20 * sample, 3 * y, np.full_like(x, 40 * (sample % 5))], axis=2) % 200
    at = 4 * time
    top, left = (at, 8) if sample % 2 == 0 else (8, at)
    frame[top : top + 8, left : left + 8] = 250
    return frame.astype(np.uint8)


Sizes = tuple[tuple[int, int], tuple[int, int]]  # (width, height) of the stored frames and of the video


def _add(writer: ShardWriter, i: int, *, num_frames: int, sizes: Sizes, captions: tuple[str, ...]) -> None:
    jpegs = [jpeg.encode(draw_still(i, time, size=sizes[0]), quality=95) for time in range(num_frames)]
    lengths = [len(data) for data in jpegs]
    row = IndexRow(
        num_frames=num_frames,
        class_index=i % 2,
        split="train" if i % 3 else "val",
        frame_offsets=np.cumsum([0, *lengths[:-1]]).tolist(),
        frame_sizes=lengths,
    )
    # Readers of frames look at the index alone, so the JPEGs need no container here.
    members = {
        "json": _meta(i, row, sizes, captions).to_json(),
        "mp4": b"".join(jpegs),
        "cls": str(i % 2).encode(),
    }
    writer.add(f"still-{i:03d}", members, row=row)


def _meta(i: int, row: IndexRow, sizes: Sizes, captions: tuple[str, ...]) -> SampleMeta:
    size, source_size = sizes
    return SampleMeta(
        key=f"still-{i:03d}",
        source=f"still-{i:03d}.mp4",
        outcome="ok",
        fps=2.0,
        sampling="grid",
        num_frames=row.num_frames,
        pts_s=tuple(time / 2 for time in range(row.num_frames)),
        width_px=size[0],
        height_px=size[1],
        source_width_px=source_size[0],
        source_height_px=source_size[1],
        source_fps=24.0,
        source_duration_s=row.num_frames / 2,
        codec="h264",
        pix_fmt="yuv420p",
        container="mp4",
        rotation_deg=0,
        sample_aspect_ratio="1:1",
        color={},
        labels=(CLASSES[i % 2],),
        captions=captions,
        split=row.split,
    )
