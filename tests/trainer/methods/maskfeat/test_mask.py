import numpy as np
import pytest

from vfm.trainer.methods.maskfeat.mask import draw_mask
from vfm.trainer.methods.maskfeat.recipe import Objective

WINDOW = (8, 7, 7)


def masks(**objective):
    chosen = Objective(**objective)
    return [draw_mask(WINDOW, chosen, rng=np.random.default_rng(seed)) for seed in range(100)]


def test_cubes_hide_the_wanted_share_at_most_and_nearly_always_almost_all_of_it():
    counts = [int(mask.sum()) for mask in masks()]
    assert max(counts) == round(0.4 * 392)
    assert np.mean(counts) > 150
    assert len({mask.tobytes() for mask in masks()}) == 100


def test_cubes_are_blocks_in_time_that_need_not_last():
    found = masks()
    lasting = [np.array_equal(mask[0], mask[-1]) for mask in found]
    assert not all(lasting)
    # A block has at least nine cells of a frame: no hidden cell is alone in its frame.
    assert all(frame.sum() == 0 or frame.sum() >= 4 for mask in found for frame in mask)


def test_tubes_are_the_same_in_all_frames():
    for mask in masks(mask="tube"):
        assert all(np.array_equal(frame, mask[0]) for frame in mask)
        assert 0 < mask[0].sum() <= round(0.4 * 49)


def test_frames_are_hidden_whole():
    for mask in masks(mask="frames", mask_ratio=0.3):
        assert sorted(frame.sum() for frame in mask) == [0] * 6 + [49] * 2
    first = [mask[0].all() for mask in masks(mask="frames", mask_ratio=0.3)]
    assert np.mean(first) == pytest.approx(0.25, abs=0.12)


def test_a_seed_is_a_mask():
    again = draw_mask(WINDOW, Objective(), rng=np.random.default_rng(3))
    assert np.array_equal(masks()[3], again)
