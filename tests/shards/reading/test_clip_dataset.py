"""Clips for the loader of PyTorch: the pixels that training reads, the same on any number of workers."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import vfm
from support.media import write_film
from vfm.shards.clips import clip_times, random_start
from vfm.shards.order import sample_rng
from vfm.shards.pixels.views import apply_view, centre
from vfm.shards.reading.clip_dataset import ClipDataset
from vfm.shards.reading.dataset import Dataset, open_dataset
from vfm.shards.reading.mixture import Source, open_mixture
from vfm.trainer.data.clips import PixelReader
from vfm.video2token.jobs.extract.extract import extract
from vfm.video2token.options import ExtractOptions

FPS, SIDE_PX = 5.0, 48
TICK = 5  # frames of the film from one stored frame to the next
MakeDataset = Callable[..., Path]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six films of 64 × 48 px with 4 to 9 stored frames at 5 a second; one has no label."""
    root = tmp_path_factory.mktemp("clips")
    rows = ["path,label"]
    for number in range(6):
        write_film(root / f"{number}.mp4", num_frames=TICK * (4 + number), first=10 * number)
        rows.append(f"{number}.mp4,{('run', 'walk', '')[min(number % 3, number)]}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    extract([root / "list.csv"], root / "data", ExtractOptions(fps=FPS, size_px=SIDE_PX), num_workers=1)
    return root / "data"


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    return open_dataset(data)


def times_in(clips: ClipDataset, index: int) -> list[int]:
    """Return which stored frames of a sample a clip shows, of which no two are alike."""
    dataset = clips.dataset
    stored = np.stack(dataset.frames(index, range(int(dataset.num_frames[index]))))
    seen = apply_view(stored, centre(clips.size_px))
    found = [[np.array_equal(frame, each) for each in seen] for frame in clips[index]["frames"]]
    assert [sum(each) for each in found] == [1] * len(found)
    return [each.index(True) for each in found]


def is_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (
        one.keys() == other.keys()
        and (one["key"], one["label"]) == (other["key"], other["label"])
        and np.array_equal(one["frames"], other["frames"])
    )


def test_a_clip_has_the_pixels_that_training_reads(dataset: Dataset) -> None:
    reader = PixelReader(view=centre(32))
    for stride in (1, 2):
        clips = dataset.clips(num_frames=3, size_px=32, seconds_apart=stride / FPS, where="start")
        assert len(clips) == 6
        for index in range(6):
            num_frames = int(dataset.num_frames[index])
            times = clip_times(0, num_frames=num_frames, clip_len=3, stride=stride)
            item = clips[index]
            assert list(item) == ["frames", "label", "key"]
            assert (item["frames"].dtype, item["frames"].shape) == (np.uint8, (3, 32, 32, 3))
            np.testing.assert_array_equal(item["frames"], reader(dataset, index, times)["clip"])
            assert item["key"] == dataset.keys[index]
            assert type(item["label"]) is int
            assert item["label"] == dataset.class_indices[index]


def test_where_a_clip_lies(dataset: Dataset) -> None:
    lengths = dataset.num_frames.tolist()
    assert sorted(lengths) == [4, 5, 6, 7, 8, 9]
    for index, length in enumerate(lengths):
        start = dataset.clips(num_frames=4, size_px=48, where="start")
        assert times_in(start, index) == [0, 1, 2, 3]
        middle = dataset.clips(num_frames=4, size_px=48)
        first = (length - 4) // 2
        assert times_in(middle, index) == [first, first + 1, first + 2, first + 3]
        apart = dataset.clips(num_frames=2, size_px=48, seconds_apart=0.62)
        first = (length - 4) // 2
        assert times_in(apart, index) == [first, first + 3]


def test_past_the_end_the_last_frame_is_shown_again(dataset: Dataset) -> None:
    for where in ("start", "middle", "random"):
        clips = dataset.clips(num_frames=12, size_px=48, where=where)
        for index, length in enumerate(dataset.num_frames.tolist()):
            assert times_in(clips, index) == [min(time, length - 1) for time in range(12)]


def test_random_clips_are_those_of_training_and_of_seed_epoch_and_key(dataset: Dataset) -> None:
    drawn = set()
    for seed, epoch in ((0, 0), (0, 1), (3, 1)):
        clips = dataset.clips(num_frames=2, size_px=48, where="random", seed=seed)
        clips.set_epoch(epoch)
        starts = []
        for index, length in enumerate(dataset.num_frames.tolist()):
            rng = sample_rng(seed=seed, epoch=epoch, key=dataset.keys[index])
            start = random_start(length, clip_len=2, stride=1, rng=rng)
            assert times_in(clips, index) == [start, start + 1]
            starts.append(start)
        drawn.add(tuple(starts))
        np.random.seed(1)  # noqa: NPY002
        assert is_equal(clips[0], clips[0])
        turned = clips.dataset.select([5, 4]).clips(num_frames=2, size_px=48, where="random", seed=seed)
        turned.set_epoch(epoch)
        assert is_equal(turned[0], clips[5])
    assert len(drawn) == 3


def test_two_spawned_workers_give_the_clips_of_none(dataset: Dataset) -> None:
    clips = dataset.clips(num_frames=3, size_px=32, where="random", seed=1)
    loaders = [
        DataLoader(clips, batch_size=4),  # type: ignore[arg-type]
        DataLoader(clips, batch_size=4, num_workers=2, multiprocessing_context="spawn"),  # type: ignore[arg-type]
    ]
    seen = []
    for epoch in (0, 1):
        clips.set_epoch(epoch)
        batches = [list(loader) for loader in loaders]
        assert [len(each) for each in batches] == [2, 2]
        for alone, worked in zip(*batches, strict=True):
            assert alone.keys() == worked.keys() == {"frames", "label", "key"}
            assert torch.equal(alone["frames"], worked["frames"])
            assert torch.equal(alone["label"], worked["label"])
            assert alone["key"] == worked["key"]
        first = batches[0][0]
        assert (first["frames"].dtype, first["frames"].shape) == (torch.uint8, (4, 3, 32, 32, 3))
        assert (first["label"].dtype, first["label"].shape) == (torch.int64, (4,))
        assert first["label"].tolist() == dataset.class_indices[:4].tolist()
        assert first["key"] == list(dataset.keys[:4])
        np.testing.assert_array_equal(first["frames"][3].numpy(), clips[3]["frames"])
        seen.append(torch.cat([batch["frames"] for batch in batches[0]]))
    assert not torch.equal(*seen)


def test_a_clip_is_the_callers_own(dataset: Dataset) -> None:
    for size_px in (SIDE_PX, 32):  # as stored, and resized
        clips = dataset.clips(num_frames=3, size_px=size_px)
        before, mine = clips[2], clips[2]
        assert mine["frames"].flags.writeable
        assert mine["frames"].flags.c_contiguous
        mine["frames"][:] = 0
        assert is_equal(clips[2], before)


def test_clips_are_indexed_counted_and_pickled_as_datasets_are(dataset: Dataset) -> None:
    clips = dataset.clips(num_frames=2, size_px=32)
    assert is_equal(clips[-1], clips[np.int64(5)])
    assert [item["key"] for item in clips] == list(dataset.keys)
    assert is_equal(pickle.loads(pickle.dumps(clips))[4], clips[4])
    assert repr(clips) == (
        f"ClipDataset({dataset!r}, window=ClipWindow(num_frames=2, stride=1, where='middle', seed=0), "
        "size_px=32)"
    )
    assert "fps=5.0, size_px=48, columns=['frames'])" in repr(dataset)
    with pytest.raises(IndexError, match=f"^There is no sample 6 of {dataset}: it has 6.$"):
        clips[6]
    with pytest.raises(TypeError, match="'a' names no sample of"):
        clips["a"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"num_frames": 0}, "num_frames is 0, but must be a whole number of 1 or more."),
        ({"num_frames": 4.5}, "num_frames is 4.5, but must be a whole number of 1 or more."),
        ({"size_px": 0}, "size_px is 0, but must be a whole number of 1 or more."),
        ({"seed": -1}, "seed is -1, but must be a whole number of 0 or more."),
        ({"where": "end"}, "where is 'end': use 'start', 'middle', 'random'."),
        ({"seconds_apart": 0.0}, "seconds_apart is 0.0, but must be above 0."),
        ({"seconds_apart": float("nan")}, "seconds_apart is nan, but must be above 0."),
        (
            {"seconds_apart": 0.1},
            "The nearest to 0.1 s that stored frames of DATA lie apart is 0.2 s: use seconds_apart=0.2, or "
            "extract with `vfm extract --fps 10`.",
        ),
        (
            {"size_px": 72},
            "DATA has frames of 48 px, which would be enlarged 1.5 times: use size_px=48 or less, or "
            "allow_enlarging=True.",
        ),
    ],
)
def test_what_no_clip_can_be_is_told(dataset: Dataset, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(vfm.VfmError) as caught:
        dataset.clips(**{"num_frames": 4, "size_px": 32, **wrong})
    assert str(caught.value) == told.replace("DATA", str(dataset.data))


def test_times_within_the_tolerance_of_training_are_taken(dataset: Dataset) -> None:
    for seconds_apart, stride in ((0.2, 1), (0.17, 1), (0.24, 1), (0.35, 2), (1.0, 5)):
        clips = dataset.clips(num_frames=2, size_px=32, seconds_apart=seconds_apart)
        assert clips.window.stride == stride
    for seconds_apart in (0.16, 0.26):  # 0.2 s is a quarter longer, and 23 % shorter
        with pytest.raises(vfm.VfmError, match=f"The nearest to {seconds_apart} s that"):
            dataset.clips(num_frames=2, size_px=32, seconds_apart=seconds_apart)


def test_frames_are_enlarged_on_request(dataset: Dataset) -> None:
    clips = dataset.clips(num_frames=2, size_px=96, allow_enlarging=True)
    assert clips[0]["frames"].shape == (2, 96, 96, 3)


def test_an_epoch_below_zero_is_refused(dataset: Dataset) -> None:
    clips = dataset.clips(num_frames=2, size_px=32)
    with pytest.raises(vfm.VfmError, match="^epoch is -1, but must be a whole number of 0 or more.$"):
        clips.set_epoch(-1)


def test_without_frames_or_their_rate_there_are_no_such_clips(toy_dataset: MakeDataset) -> None:
    folder = toy_dataset()
    with pytest.raises(vfm.VfmError) as caught:
        open_dataset(folder, columns=("vq.toy",)).clips(num_frames=2, size_px=32)
    assert str(caught.value) == f'{folder} was opened without frames: open it with columns=["frames"].'
    with pytest.raises(vfm.VfmError) as caught:
        open_dataset(folder).clips(num_frames=2, size_px=32, seconds_apart=0.5)
    assert str(caught.value) == (
        f"{folder} has frames at no fixed rate, of which none are known to lie 0.5 s apart: leave "
        "seconds_apart out, or extract with `vfm extract --fps`."
    )
    assert open_dataset(folder).clips(num_frames=2, size_px=32)[0]["frames"].shape == (2, 32, 32, 3)


def test_parts_of_a_mixture_agree_on_the_rate(data: Path, tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", num_frames=50, fps=25)
    extract([tmp_path / "a.mp4"], tmp_path / "fast", ExtractOptions(fps=10.0, size_px=48), num_workers=1)
    mixture = open_mixture([Source(data=data), Source(data=tmp_path / "fast")])
    assert [item["label"] for item in mixture.clips(num_frames=2, size_px=32)][-1] == -1
    with pytest.raises(vfm.VfmError) as caught:
        mixture.clips(num_frames=2, size_px=32, seconds_apart=0.2)
    assert str(caught.value) == (
        f"Frames 0.2 s apart are 1 or 2 stored frames apart in {data} and {tmp_path / 'fast'}: extract all "
        "at the same rate to mix them."
    )


def test_a_damaged_frame_is_an_error_of_vfm_from_a_worker_too(data: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", num_frames=20)
    extract([film], tmp_path / "data", ExtractOptions(fps=5.0, size_px=48), num_workers=1)
    tar = tmp_path / "data" / "frames" / "000000.tar"
    dataset = open_dataset(tmp_path / "data")
    span = dataset._readers["frames"].index.frame(0, 0)
    torn = bytearray(tar.read_bytes())
    torn[span.offset + span.size_bytes // 2] ^= 1
    tar.write_bytes(torn)
    clips = dataset.clips(num_frames=2, size_px=48, where="start")
    with pytest.raises(vfm.VfmError, match="does not match its checksum"):
        clips[0]
    loader: DataLoader[Any] = DataLoader(clips, num_workers=1, multiprocessing_context="spawn")  # type: ignore[arg-type]
    with pytest.raises(vfm.VfmError, match="does not match its checksum"):
        next(iter(loader))
