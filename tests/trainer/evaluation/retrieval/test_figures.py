from math import comb

import numpy as np
import pytest

from vfm.trainer.evaluation.retrieval.figures import Recalls, chance_within, found_within, ranking_of


def test_figures_by_hand() -> None:
    """Of 8 queries 2 are first, 5 within 5, 6 within 10, 8 within 50; one belongs to each, of 100."""
    ranks = np.array([1, 1, 2, 4, 5, 10, 11, 50], np.float64)
    found = ranking_of(ranks, num_right=np.ones(8, np.int64), num_candidates=100)
    assert (found.recall_at_1, found.recall_at_5) == (0.25, 0.625)
    assert (found.recall_at_10, found.recall_at_50) == (0.75, 1.0)
    assert (found.median_rank, found.mean_rank) == (4.5, 10.5)
    assert found.geometric_mean == pytest.approx((0.25 * 0.625 * 0.75) ** (1 / 3))
    assert (found.num_queries, found.num_candidates) == (8, 100)
    # (2/8 ± ...) of Wilson's score with z = 1.959964: middle .33111, half .25978.
    assert found.recall_at_1_interval == pytest.approx((0.07149, 0.59072), abs=5e-5)
    chance = found.chance
    assert isinstance(chance, Recalls)
    assert (chance.recall_at_1, chance.recall_at_5) == pytest.approx((0.01, 0.05))
    assert (chance.recall_at_10, chance.recall_at_50) == pytest.approx((0.1, 0.5))


def test_where_none_is_first_the_geometric_mean_is_0() -> None:
    found = ranking_of(np.array([2.0, 3.0]), num_right=np.ones(2, np.int64), num_candidates=3)
    assert (found.recall_at_1, found.geometric_mean) == (0, 0)


def test_of_fewer_than_k_candidates_all_are_within() -> None:
    found = ranking_of(np.array([1.0, 3.0, 3.0]), num_right=np.ones(3, np.int64), num_candidates=3)
    assert (found.recall_at_1, found.recall_at_5, found.recall_at_50) == (pytest.approx(1 / 3), 1, 1)
    assert found.chance == Recalls(
        recall_at_1=pytest.approx(1 / 3), recall_at_5=1, recall_at_10=1, recall_at_50=1
    )


def test_half_a_place_after_k_is_not_within_k() -> None:
    assert found_within(np.array([1.0, 1.5, 2.5, 4.0]), num_candidates=4).tolist() == [0.25, 0.5, 0.75, 1.0]


def test_chance_by_hand() -> None:
    """Of 4, 2 right: missed by 1 draw in 2/4, by 2 in 2/4 · 1/3, by 3 never. Of 4, 1 right: k / 4."""
    two = chance_within(np.array([2]), num_candidates=4)
    assert two == pytest.approx(np.array([1 / 2, 5 / 6, 1, 1]))
    assert chance_within(np.array([1]), num_candidates=4) == pytest.approx(np.array([1, 2, 3, 4]) / 4)
    mixed = chance_within(np.array([1, 2, 1]), num_candidates=4)
    assert mixed == pytest.approx((2 * np.array([1, 2, 3, 4]) / 4 + two) / 3)


def test_chance_is_hypergeometric() -> None:
    num_right, total = np.array([1, 3, 20, 20, 7]), 60
    expected = [
        np.mean([1 - comb(total - int(own), k) / comb(total, k) for own in num_right])
        for k in range(1, total + 1)
    ]
    assert chance_within(num_right, num_candidates=total) == pytest.approx(np.array(expected))


def test_chance_is_what_random_order_reaches() -> None:
    rng = np.random.default_rng(3)
    num_right, total = 3, 30
    ranks = np.array([rng.permutation(total)[:num_right].min() + 1.0 for _ in range(20_000)])
    found = found_within(ranks, num_candidates=total)
    chance = chance_within(np.full(20_000, num_right), num_candidates=total)
    # A share of 20 000 has a standard deviation of .0035 at most; five of these.
    assert np.abs(found - chance).max() < 0.018
