"""Clips are those of the references, number for number."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from vfm.shards.clips import (
    PAD,
    clip_times,
    dense_times,
    is_near,
    linspace_times,
    looped_times,
    middle_start,
    nearest_stride,
    parts_times,
    random_start,
    segment_times,
    sparse_times,
    spread_dense_times,
    spread_linspace_times,
    spread_looped_times,
    spread_parts_times,
    spread_sparse_times,
    spread_ssv2_times,
    spread_starts,
)
from vfm.shards.errors import UsageError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "vimpac_test_clips_a.json").read_text())
GOLDEN_PAD = 8193


def name(case: dict[str, Any]) -> str:
    return f"{case['stored_frames']}x{case['clip_len']}x{case['step']}"


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name)
def test_test_clips_are_the_references(case: dict[str, Any]) -> None:
    size = {"num_frames": case["stored_frames"], "clip_len": case["clip_len"], "stride": case["step"]}
    starts = spread_starts(**size, num_clips=case["num_clips"])
    expected = [[PAD if time == GOLDEN_PAD else time for time in clip] for clip in case["clips"]]
    assert [clip_times(start, **size).tolist() for start in starts] == expected


@pytest.mark.parametrize("case", GOLDEN["random_start"], ids=name)
def test_random_starts_cover_the_references_range(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    size = {"num_frames": case["stored_frames"], "clip_len": case["clip_len"], "stride": case["step"]}
    drawn = {random_start(**size, rng=rng) for _ in range(20 * case["distinct"])}
    assert drawn == set(range(case["min_start"], case["max_start"] + 1))
    assert len(drawn) == case["distinct"]


@pytest.mark.parametrize("seed", range(30))
def test_a_clip_is_padded_only_when_the_sample_is_too_short(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_frames, clip_len, stride = (int(rng.integers(1, high)) for high in (100, 12, 9))
    size = {"num_frames": num_frames, "clip_len": clip_len, "stride": stride}
    starts = [random_start(**size, rng=rng), *spread_starts(**size, num_clips=4)]
    is_long = num_frames >= (clip_len - 1) * stride + 1
    for start in starts:
        times = clip_times(start, **size)
        assert times.dtype == np.int64
        assert times[0] == start
        assert (times == PAD).any() == (not is_long)
        kept = times[times != PAD]
        assert kept.max() < num_frames
        assert (np.diff(kept) == stride).all()
    assert starts == sorted(starts[:1]) + sorted(starts[1:])


@pytest.mark.parametrize("size", [(0, 5, 1), (5, 0, 1), (5, 5, 0)])
def test_clips_of_nothing_are_refused(size: tuple[int, int, int]) -> None:
    num_frames, clip_len, stride = size
    with pytest.raises(UsageError, match="use 1 or more for each"):
        spread_starts(num_frames, clip_len=clip_len, stride=stride, num_clips=1)
    with pytest.raises(UsageError, match="at least 1 clip, got 0"):
        spread_starts(5, clip_len=5, stride=1, num_clips=0)


@pytest.mark.needs("shared")
def test_frames_from_the_whole_video_are_those_of_umt(shared: Path) -> None:
    config = json.loads((shared / "golden" / "umt_frame_indices_a.json").read_text())["config"]
    tensors = load_file(shared / "golden" / "umt_frame_indices_a.safetensors")
    size = {"clip_len": config["frames"]}
    for number, length in enumerate(tensors["input/lengths"].tolist()):
        clips = spread_sparse_times(length, **size, num_clips=config["segments"])
        np.testing.assert_array_equal(clips, tensors["output/kinetics_test"][number])
        (middle,) = spread_sparse_times(length, **size, num_clips=1)
        np.testing.assert_array_equal(middle, tensors["output/kinetics_val"][number])
        clips = spread_ssv2_times(length, **size, num_clips=2)
        both = tensors["output/ssv2_test_all"][number]
        np.testing.assert_array_equal(clips, [both[0::2], both[1::2]])
        (middle,) = spread_ssv2_times(length, **size, num_clips=1)
        np.testing.assert_array_equal(middle, tensors["output/ssv2_val"][number])


def test_segments_give_each_of_their_frames_equally_often() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([segment_times(27, clip_len=8, rng=rng) for _ in range(3000)])
    assert drawn.dtype == np.int64
    for place in range(8):  # ⌊27 / 8⌋ = 3 frames each; the last three frames belong to none
        counts = np.bincount(drawn[:, place] - 3 * place, minlength=3)
        assert counts.shape == (3,)
        assert abs(counts / 3000 - 1 / 3).max() < 0.05
    assert segment_times(7, clip_len=8, rng=rng).tolist() == [0] * 8
    assert segment_times(8, clip_len=8, rng=rng).tolist() == list(range(8))


def test_sparse_frames_reach_the_last_one() -> None:
    rng = np.random.default_rng(0)
    # (10 - 1) / 4 = 2.25: borders at 0, 2.25, 4.5, 6.75, 9, rounded, halves to even.
    borders = [0, 2, 4, 7, 9]
    drawn = np.stack([sparse_times(10, clip_len=4, rng=rng) for _ in range(2000)])
    for place in range(4):
        assert set(drawn[:, place]) == set(range(borders[place], borders[place + 1] + 1))
    assert sparse_times(1, clip_len=4, rng=rng).tolist() == [0] * 4


@pytest.mark.needs("shared")
def test_parts_are_whole_frames_whose_last_one_is_not_drawn() -> None:
    rng = np.random.default_rng(0)
    # Of ten frames the parts are 0-1, 2-4, 5-6 and 7-9.
    drawn = np.stack([parts_times(10, clip_len=4, rng=rng) for _ in range(500)])
    assert [sorted(set(column.tolist())) for column in drawn.T] == [[0], [2, 3], [5], [7, 8]]
    assert [clip.tolist() for clip in spread_parts_times(10, clip_len=4, num_clips=1)] == [[0, 3, 5, 8]]
    assert [clip.tolist() for clip in spread_parts_times(8, clip_len=2, num_clips=3)] == [
        [0, 4],
        [1, 5],
        [2, 6],
    ]
    # Fewer frames than the clip has: each once, then the last one again.
    assert parts_times(3, clip_len=5, rng=rng).tolist() == [0, 1, 2, 2, 2]
    assert [clip.tolist() for clip in spread_parts_times(3, clip_len=5, num_clips=1)] == [[0, 1, 2, 2, 2]]


def test_views_of_a_test_hold_the_frames_of_the_reference(shared: Path) -> None:
    cases = json.loads((shared / "golden" / "videomae_test_views_a.json").read_text())["cases"]
    assert {case["sampling"] for case in cases} == {"dense", "uniform"}
    for case in cases:
        size = {"clip_len": case["clip_frames"], "num_clips": case["segments"]}
        if case["sampling"] == "dense":
            clips = spread_dense_times(case["video_frames"], stride=case["frame_step"], **size)
        else:
            clips = spread_ssv2_times(case["video_frames"], **size)
        for view in case["views"]:
            assert clips[view["segment"]].tolist() == view["frames"]


def test_dense_frames_are_spread_over_a_window() -> None:
    rng = np.random.default_rng(0)
    # 4 frames over 8: 0, 8/3, 16/3, 8 behind the start, cut off, the last one a frame earlier.
    drawn = np.stack([dense_times(11, clip_len=4, stride=2, rng=rng) for _ in range(300)])
    assert {tuple(times) for times in drawn} == {(s, s + 2, s + 5, s + 7) for s in (0, 1, 2)}
    short = dense_times(7, clip_len=4, stride=2, rng=rng)
    assert short.tolist() == [0, 3, 6, 6]  # 7 // 2 = 3 of them: 0, 3.5 and 7, then 7, none past 6
    assert dense_times(1, clip_len=4, stride=2, rng=rng).tolist() == [0, 0, 0, 0]
    (middle,) = spread_dense_times(20, clip_len=4, stride=2, num_clips=1)
    assert middle.tolist() == [6, 8, 10, 12]


def test_linspace_frames_reach_from_the_first_of_a_window_to_its_last() -> None:
    rng = np.random.default_rng(0)
    # 4 frames over 8: 7/3 apart, from anywhere between 0 and 3, rounded down.
    drawn = np.stack([linspace_times(11, clip_len=4, stride=2, rng=rng) for _ in range(2000)])
    expected = {tuple(int(start / 100 + 7 / 3 * k) for k in range(4)) for start in range(300)}
    assert {tuple(times) for times in drawn} == expected
    assert linspace_times(5, clip_len=4, stride=2, rng=rng).tolist() == [0, 2, 4, 4]
    assert linspace_times(16, clip_len=16, stride=1, rng=rng).tolist() == list(range(16))


def test_linspace_clips_of_a_test_begin_at_whole_frames() -> None:
    # 300 frames of Kinetics: 16 over 64, which begin at multiples of (300 - 64) // 9 = 26.
    clips = spread_linspace_times(300, clip_len=16, stride=4, num_clips=10)
    assert [clip[0] for clip in clips] == [26 * k for k in range(10)]
    assert clips[1].tolist() == [int(26 + 4.2 * k + 1e-9) for k in range(16)]
    (middle,) = spread_linspace_times(301, clip_len=16, stride=4, num_clips=1)
    assert middle.tolist() == [int(118.5 + 4.2 * k) for k in range(16)]


def test_looped_frames_begin_again() -> None:
    rng = np.random.default_rng(0)
    assert looped_times(5, clip_len=4, stride=2, rng=rng).tolist() == [0, 2, 4, 1]
    drawn = {tuple(looped_times(9, clip_len=4, stride=2, rng=rng)) for _ in range(100)}
    assert drawn == {(s, s + 2, s + 4, s + 6) for s in (0, 1, 2)}


def test_looped_clips_of_a_test_are_those_of_mmaction2() -> None:
    clips = spread_looped_times(300, clip_len=16, stride=4, num_clips=10)
    assert [int(clip[0]) for clip in clips] == [round(k * 239 / 9) for k in range(10)]
    assert clips[-1].tolist() == list(range(239, 300, 4))
    (middle,) = spread_looped_times(300, clip_len=16, stride=4, num_clips=1)
    assert middle[0] == 119
    assert [clip.tolist() for clip in spread_looped_times(3, clip_len=4, stride=2, num_clips=2)] == [
        [0, 2, 1, 0],
        [0, 2, 1, 0],
    ]


def test_more_than_two_clips_of_ssv2_are_refused() -> None:
    with pytest.raises(UsageError, match="make 1 or 2 clips, got 3"):
        spread_ssv2_times(30, clip_len=8, num_clips=3)
    for spread in (spread_sparse_times, spread_ssv2_times):
        with pytest.raises(UsageError, match="at least 1 clip, got 0"):
            spread(30, clip_len=8, num_clips=0)
        with pytest.raises(UsageError, match="No clip of 8 frames comes from 0 frames"):
            spread(0, clip_len=8, num_clips=1)


def test_the_middle_clip_and_the_stride_that_comes_nearest() -> None:
    middles = [middle_start(num_frames, clip_len=3, stride=2) for num_frames in (1, 5, 6, 7, 10)]
    assert middles == [0, 0, 0, 1, 2]
    assert [nearest_stride(apart_s, fps=10) for apart_s in (0.01, 0.1, 0.26, 1)] == [1, 1, 3, 10]
    near = [is_near(actual_s, wanted_s=0.1) for actual_s in (0.079, 0.08, 0.1, 0.12, 0.121)]
    assert near == [False, True, True, True, False]
