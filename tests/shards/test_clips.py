"""Clips are VIMPAC's, number for number."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfm.shards.clips import PAD, clip_times, random_start, spread_starts
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
