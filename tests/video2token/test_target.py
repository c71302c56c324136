from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.stills import draw_still
from vfm.shards.columns.views import random_views, vimpac_views
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.pixels.views import View, apply_view, centre
from vfm.shards.reading.dataset import open_dataset
from vfm.video2token import targets
from vfm.video2token.frame_target import FrameTarget, regroup
from vfm.video2token.target import Target, TargetOptions
from vfm.video2token.targets import build_target
from vfm.video2token.tokenizers.codebook.codebook import (
    Codebook,
    CodebookConfig,
    load_codebook,
    save_codebook,
)

Stills = Callable[..., Path]


class Mean(FrameTarget):
    """The mean of each frame, and how many frames came at once."""

    name, kind, fields = "mean", "mean", ("mean.npy",)
    options: dict[str, Any] = {}

    def __init__(self, *, views: tuple[View, ...] = (centre(32),), batch_size: int = 64) -> None:
        self.views = views
        self.batch_size = batch_size
        self.seen: list[int] = []

    def compute(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        self.seen.append(len(frames))
        return {"mean.npy": frames.mean(axis=(1, 2))}


def arrays_of(target: Target, data: Path, indices: Sequence[int]) -> list[np.ndarray]:
    return [arrays["mean.npy"] for arrays in target.rows(open_dataset(data), indices)]


@pytest.mark.parametrize("name", targets.names())
def test_every_kind_can_be_built(
    name: str, tiny_codebook: Path, tiny_vocabulary: Path, tiny_vit: Path
) -> None:
    arguments = {"hog": "skimage", "vq": str(tiny_codebook), "text": str(tiny_vocabulary), "clip": "test_vit"}
    own = {"weights": str(tiny_vit), "levels": 2} if name == "clip" else {}
    target = build_target(f"{name}:{arguments[name]}", TargetOptions(own=own))
    assert target.kind == name
    assert target.name.startswith(name)
    assert all(field.endswith(".npy") for field in target.fields)


@pytest.mark.parametrize("spec", ["", "hogg", "vqq:x", "_base:x", "VQ:x", "../vq:x"])
def test_an_unknown_kind_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="is of no known kind: use one of clip, hog, text, vq"):
        build_target(spec, TargetOptions())


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match="use 1 or more"):
        TargetOptions(batch_size=0)


def test_frames_of_many_samples_fill_a_batch(stills: Stills) -> None:
    data, target = stills(), Mean(batch_size=4)
    rows = arrays_of(target, data, range(6))
    lengths = open_dataset(data).num_frames.tolist()
    assert lengths == [5, 1, 2, 3, 4, 5]
    assert [row.shape for row in rows] == [(1, length, 3) for length in lengths]
    assert target.seen == [4, 4, 4, 4, 4]
    for batch_size in (1, 7, 64):
        others = arrays_of(Mean(batch_size=batch_size), data, range(6))
        assert all(np.array_equal(row, other) for row, other in zip(rows, others, strict=True))
    assert np.array_equal(arrays_of(Mean(), data, [3])[0], rows[3])


def test_a_target_sees_the_stored_frames_through_its_views(stills: Stills) -> None:
    data = stills()
    views = (centre(32), View(resize_px=48, crop_px=32, top="start", flip=True))
    (means,) = arrays_of(Mean(views=views), data, [2])
    assert means.shape == (2, 2, 3)
    stored = np.stack(open_dataset(data).frames(2, range(2)))
    for number, view in enumerate(views):
        assert np.array_equal(means[number], apply_view(stored, view).mean(axis=(1, 2)))
    drawn = np.stack([draw_still(2, time) for time in range(2)])[:, :, 4:36]
    assert means[0] == pytest.approx(drawn.mean(axis=(1, 2)), abs=1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(stills: Stills, value: float) -> None:
    class Bad(Mean):
        def compute(self, frames: np.ndarray) -> dict[str, np.ndarray]:
            means = frames.mean(axis=(1, 2))
            means[frames[:, 9, 9, 0] > 0, 1] = value
            return {"mean.npy": means}

    with pytest.raises(DamageError, match=r"mean of still-000 holds NaN or infinity in mean\.npy"):
        arrays_of(Bad(), stills(), range(6))


@pytest.mark.parametrize("lengths", [[10], [1, 2, 3, 4], [4, 6], [9, 1]])
@pytest.mark.parametrize("chunk", [1, 3, 10])
def test_regroup_cuts_one_row_into_lengths(lengths: list[int], chunk: int) -> None:
    row = np.arange(10)
    chunks: Iterator[dict[str, np.ndarray]] = (
        {"a": row[start : start + chunk], "b": -row[start : start + chunk]} for start in range(0, 10, chunk)
    )
    groups = list(regroup(chunks, lengths))
    assert [len(group["a"]) for group in groups] == lengths
    assert np.concatenate([group["a"] for group in groups]).tolist() == row.tolist()
    assert np.concatenate([group["b"] for group in groups]).tolist() == (-row).tolist()


def test_vq_tells_all_that_its_codes_follow_from(tiny_codebook: Path) -> None:
    target = build_target(f"vq:{tiny_codebook}", TargetOptions())
    assert (target.name, target.fields) == ("vq.tiny", ("codes.npy",))
    assert target.options == {
        "codebook": "tiny",
        "weights_sha256": load_codebook(tiny_codebook).weights_sha256,
        "vocab_size": 16,
        "stride": 8,
        "dtype": "uint8",
        "views": [centre(32).to_dict()],
    }
    other = build_target(
        f"vq:{tiny_codebook}", TargetOptions(name="other", batch_size=3, own={"crop_px": 24})
    )
    assert other.name == "vq.other"
    assert other.options == {**target.options, "views": [centre(24).to_dict()]}


@pytest.mark.parametrize(("vocab_size", "dtype"), [(256, "uint8"), (257, "uint16"), (65536, "uint16")])
def test_codes_take_the_smallest_type(tmp_path: Path, stills: Stills, vocab_size: int, dtype: str) -> None:
    config = CodebookConfig(name="a", vocab_size=vocab_size, code_dim=1, fine_channels=1, coarse_channels=1)
    save_codebook(Codebook(config), tmp_path)
    target = build_target(f"vq:{tmp_path}", TargetOptions(own={"crop_px": 32}))
    assert target.options["dtype"] == dtype
    (arrays,) = target.rows(open_dataset(stills()), [0])
    assert (arrays["codes.npy"].dtype, arrays["codes.npy"].shape) == (np.dtype(dtype), (1, 5, 4, 4))


def test_vq_has_a_row_of_codes_for_each_view(tiny_codebook: Path, stills: Stills) -> None:
    """Codes of view k are those of the frames, cropped and mirrored by hand."""
    data = stills(size=(60, 40))  # 40 px are 1.25 times 32 px, so that three views need no resizing
    own = {"views": "vimpac12", "crop_px": 32}
    target = build_target(f"vq:{tiny_codebook}", TargetOptions(batch_size=7, own=own))
    assert target.views == vimpac_views(32)
    (arrays,) = target.rows(open_dataset(data), [3])
    codes = arrays["codes.npy"]
    assert (codes.dtype, codes.shape) == (np.dtype("uint8"), (12, 3, 4, 4))
    stored = np.stack(open_dataset(data).frames(3, range(3)))
    assert stored.shape == (3, 40, 60, 3)
    book = load_codebook(tiny_codebook)
    for number, (top, left) in enumerate([(4, 14), (0, 0), (8, 28)]):
        square = stored[:, top : top + 32, left : left + 32].copy()
        for view, seen in ((3 + number, square), (9 + number, square[:, :, ::-1].copy())):
            assert np.array_equal(codes[view], book.encode(torch.from_numpy(seen)).numpy()), view
    assert len({row.tobytes() for row in codes}) > 6
    (middle,) = build_target(f"vq:{tiny_codebook}", TargetOptions()).rows(open_dataset(data), [3])
    assert np.array_equal(codes[:1], middle["codes.npy"])


@pytest.mark.parametrize("views", ["center", "centre"])
def test_one_view_is_the_column_that_it_was(tiny_codebook: Path, stills: Stills, views: str) -> None:
    plain = build_target(f"vq:{tiny_codebook}", TargetOptions())
    named = build_target(f"vq:{tiny_codebook}", TargetOptions(own={"views": views}))
    assert named.options == plain.options
    several = build_target(f"vq:{tiny_codebook}", TargetOptions(own={"views": "random:3"}))
    (arrays,) = several.rows(open_dataset(stills()), [0])
    assert arrays["codes.npy"].shape == (3, 5, 4, 4)
    assert several.options == {
        **plain.options,
        "views": [view.to_dict() for view in random_views(3, crop_px=32)],
    }
    with pytest.raises(UsageError, match="--views random:0 must end in a number from 1 to 64"):
        build_target(f"vq:{tiny_codebook}", TargetOptions(own={"views": "random:0"}))


def test_vq_refuses_what_it_cannot_use(tiny_codebook: Path) -> None:
    with pytest.raises(UsageError, match="write vq:PATH"):
        build_target("vq", TargetOptions())
    with pytest.raises(UsageError, match="60 px cannot be cut into codes of 8 px: use 56"):
        build_target(f"vq:{tiny_codebook}", TargetOptions(own={"crop_px": 60}))
    with pytest.raises(
        UsageError,
        match=r"Target vq has no option --store \(its own are: --crop, --views, --weights\): remove it",
    ):
        build_target(f"vq:{tiny_codebook}", TargetOptions(own={"store": "fp16"}))
    with pytest.raises(UsageError, match="letters, digits, - and _"):
        build_target(f"vq:{tiny_codebook}", TargetOptions(name="a.b"))
    with pytest.raises(UsageError, match="is not a codebook"):
        build_target(f"vq:{tiny_codebook.parent}", TargetOptions())
