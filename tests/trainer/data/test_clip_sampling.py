"""Which frames a recipe's clips hold: windows, or frames from the whole video."""

from dataclasses import replace

import numpy as np
import pytest

from vfm.shards.clips import (
    PAD,
    dense_times,
    linspace_times,
    looped_times,
    segment_times,
    sparse_times,
    spread_dense_times,
    spread_linspace_times,
    spread_looped_times,
    spread_sparse_times,
    spread_ssv2_times,
)
from vfm.shards.errors import UsageError
from vfm.trainer.data.clip_sampling import ClipSampling, clip_sampling
from vfm.trainer.recipes.recipe import DataConfig
from vfm.trainer.registry import load_recipe


def test_dense_windows_are_drawn_by_their_rule():
    sampling = clip_sampling(DataConfig(columns=("frames",), clip_len=4, sampling="dense", stride=2))
    span = {"clip_len": 4, "stride": 2}
    for seed in range(20):
        found = sampling.random(30, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(found, dense_times(30, **span, rng=np.random.default_rng(seed)))
    spread = spread_dense_times(30, **span, num_clips=3)
    np.testing.assert_array_equal(sampling.spread(30, num_clips=3), spread)


def test_windows_start_anywhere_and_are_spread_from_end_to_end():
    sampling = ClipSampling(clip_len=3, stride=2)
    drawn = {tuple(sampling.random(7, rng=np.random.default_rng(seed))) for seed in range(50)}
    assert drawn == {(0, 2, 4), (1, 3, 5), (2, 4, 6)}
    spread = sampling.spread(7, num_clips=2)
    assert [clip.tolist() for clip in spread] == [[0, 2, 4], [2, 4, 6]]
    assert sampling.random(3, rng=np.random.default_rng(0)).tolist() == [0, 2, PAD]


@pytest.mark.parametrize(
    ("rule", "draw", "spread"),
    [("sparse", sparse_times, spread_sparse_times), ("ssv2", segment_times, spread_ssv2_times)],
)
def test_frames_from_the_whole_video_are_drawn_by_their_rule(rule, draw, spread):
    sampling = clip_sampling(DataConfig(columns=("frames",), clip_len=4, sampling=rule))
    for seed in range(20):
        found = sampling.random(30, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(found, draw(30, clip_len=4, rng=np.random.default_rng(seed)))
    np.testing.assert_array_equal(sampling.spread(30, num_clips=2), spread(30, clip_len=4, num_clips=2))


@pytest.mark.parametrize(
    ("rule", "draw", "spread"),
    [
        ("linspace", linspace_times, spread_linspace_times),
        ("looped", looped_times, spread_looped_times),
    ],
)
def test_windows_of_maskfeat_are_drawn_by_their_rules(rule, draw, spread):
    sampling, span = ClipSampling(rule=rule, clip_len=4, stride=2), {"clip_len": 4, "stride": 2}
    for seed in range(5):
        found = sampling.random(30, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(found, draw(30, **span, rng=np.random.default_rng(seed)))
    np.testing.assert_array_equal(sampling.spread(30, num_clips=3), spread(30, **span, num_clips=3))


@pytest.mark.parametrize("name", ["videomae-tiny", "vimpac-tiny"])
def test_a_recipe_of_windows_refuses_other_clips(name):
    data = replace(load_recipe(name).data, seconds_apart="any", stride=1)
    assert data.window_stride == data.known_stride == 1
    for sampling in ("sparse", "dense"):
        told = f"data.sampling is {sampling}, but must be strided for this recipe"
        with pytest.raises(UsageError, match=told):
            _ = replace(data, sampling=sampling).window_stride
