"""Masks hide what they should, as many of each clip, and other tokens every time."""

import numpy as np
import pytest
import torch

from vfm.trainer.data.masks import arrival_times, attention_mask, random_mask, tube_mask


@pytest.mark.parametrize(
    ("ratio", "side", "num_hidden"), [(0.9, 14, 176), (0.75, 14, 147), (0.5, 3, 4), (0.01, 3, 0)]
)
def test_tubes_hide_the_same_cells_of_every_frame(ratio, side, num_hidden):
    rng = np.random.default_rng(0)
    masks = [tube_mask(num_times=4, num_cells=side * side, ratio=ratio, rng=rng) for _ in range(50)]
    for mask in masks:
        slices = mask.reshape(4, -1)
        assert (slices == slices[0]).all()
        assert slices[0].sum() == num_hidden
    if num_hidden > 1:
        assert len({mask.tobytes() for mask in masks}) > 30
        shares = np.mean(masks, axis=0)
        assert abs(shares - num_hidden / side**2).max() < 0.4


@pytest.mark.parametrize(("ratio", "num_tokens", "num_hidden"), [(0.8, 1568, 1254), (0.5, 9, 4), (0.0, 5, 0)])
def test_a_random_mask_hides_any_tokens_of_the_clip(ratio, num_tokens, num_hidden):
    rng = np.random.default_rng(0)
    masks = [random_mask(num_tokens=num_tokens, ratio=ratio, rng=rng) for _ in range(300)]
    assert {int(mask.sum()) for mask in masks} == {num_hidden}
    shares = np.mean(masks, axis=0)
    assert abs(shares - num_hidden / num_tokens).max() < 0.15


def test_attention_masks_are_drawn_as_by_multinomial_without_replacement():
    """Four cells, two visible: how often each pair is seen, against torch's own draw and by hand."""
    weights = np.array([0.5, 0.25, 0.15, 0.1], np.float32)
    rng, num_draws = np.random.default_rng(0), 40000
    many = np.broadcast_to(weights, (num_draws, 4))
    hidden = attention_mask(many, arrival_times(many.shape, rng=rng), ratio=0.5).reshape(-1, 4)
    assert (hidden.sum(1) == 2).all()
    found = np.bincount((~hidden) @ [1, 2, 4, 8], minlength=16) / num_draws
    torch.manual_seed(0)
    drawn = torch.multinomial(torch.from_numpy(weights).expand(num_draws, 4), 2)
    theirs = np.bincount((2**drawn).sum(1).numpy(), minlength=16) / num_draws
    by_hand = {
        (1 << i) + (1 << j): weights[i] * weights[j] * (1 / (1 - weights[i]) + 1 / (1 - weights[j]))
        for i in range(4)
        for j in range(i)
    }
    for pair, share in by_hand.items():
        assert abs(found[pair] - share) < 0.01, pair
        assert abs(theirs[pair] - share) < 0.01, pair
    assert sum(found[pair] for pair in by_hand) == pytest.approx(1)


@pytest.mark.parametrize(("ratio", "num_visible"), [(0.8, 40), (0.0, 196), (0.999, 1)])
def test_every_frame_shows_as_many_cells_whatever_the_attention_sums_to(ratio, num_visible):
    rng = np.random.default_rng(1)
    attention = rng.random((3, 196), dtype=np.float32) ** 8 + np.float32(1e-30)
    arrivals = arrival_times(attention.shape, rng=rng)
    mask = attention_mask(attention, arrivals, ratio=ratio)
    assert ((~mask).reshape(3, 196).sum(1) == num_visible).all()
    np.testing.assert_array_equal(attention_mask(attention * np.float32(8), arrivals, ratio=ratio), mask)
    assert attention[~mask.reshape(3, 196)].mean() >= attention.mean()
