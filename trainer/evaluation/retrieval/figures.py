"""What is told of places: how many queries find what belongs to them among the first k."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfm.shards.array_types import Float64, Int64
from vfm.trainer.evaluation.statistics import wilson_interval

RECALL_AT = (1, 5, 10, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalls:
    """Share of queries, 0..1, that find what belongs to them among the first k candidates.

    Attributes:
        recall_at_1: at place 1.
        recall_at_5: at place 5 or before.
        recall_at_10: at place 10 or before.
        recall_at_50: at place 50 or before.
    """

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    recall_at_50: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Recalls):
    """How queries fare in one direction.

    Attributes:
        recall_at_1_interval: ends of the 95 % interval of ``recall_at_1``, by Wilson's score.
        median_rank: of the queries; 1 is the first place.
        mean_rank: the same.
        geometric_mean: of ``recall_at_1``, ``recall_at_5`` and ``recall_at_10``.
        num_queries: that were asked.
        num_candidates: that each of them is to find its own among.
        chance: what candidates in random order would reach.
    """

    recall_at_1_interval: tuple[float, float]
    median_rank: float
    mean_rank: float
    geometric_mean: float
    num_queries: int
    num_candidates: int
    chance: Recalls


def ranking_of(ranks: Float64, *, num_right: Int64, num_candidates: int) -> Ranking:
    """Return the figures of one direction.

    Args:
        ranks: float64 [num_queries], the place at which each finds what belongs to it, from 1.
        num_right: int64 [num_queries], how many candidates belong to each.
        num_candidates: of each query.
    """
    found = _recalls(found_within(ranks, num_candidates=num_candidates))
    first = found["recall_at_1"]
    return Ranking(
        **found,
        recall_at_1_interval=wilson_interval(first, num_samples=len(ranks)),
        median_rank=float(np.median(ranks)),
        mean_rank=float(ranks.mean()),
        geometric_mean=(first * found["recall_at_5"] * found["recall_at_10"]) ** (1 / 3),
        num_queries=len(ranks),
        num_candidates=num_candidates,
        chance=Recalls(**_recalls(chance_within(num_right, num_candidates=num_candidates))),
    )


def found_within(ranks: Float64, *, num_candidates: int) -> Float64:
    """Return the share of queries, 0..1, at place k or before, for k = 1..num_candidates.

    A place half way between two, of tied candidates, is within the first k only where both are.

    Args:
        ranks: float64 [num_queries], places from 1.
        num_candidates: of each query.

    Returns:
        float64 [num_candidates].
    """
    places = np.ceil(ranks).astype(np.int64)
    counts: npt.NDArray[np.int64] = np.bincount(places, minlength=num_candidates + 1)
    return counts[1:].cumsum() / len(ranks)


def chance_within(num_right: Int64, *, num_candidates: int) -> Float64:
    """Return what `found_within` is expected to be where candidates come in random order.

    Of N candidates of which c are right, the first k hold none in C(N - c, k) of C(N, k) cases. With c = 1
    this leaves k / N.

    Args:
        num_right: int64 [num_queries], how many candidates belong to each query.
        num_candidates: of each query.

    Returns:
        float64 [num_candidates], the mean over queries.
    """
    drawn = np.arange(num_candidates)
    missed = np.zeros(num_candidates)
    for num_own, count in zip(*np.unique(num_right, return_counts=True), strict=True):
        # That one more is wrong too: of those not drawn yet, all but the right ones are.
        is_wrong = np.maximum(num_candidates - num_own - drawn, 0) / (num_candidates - drawn)
        missed += count * is_wrong.cumprod()
    return 1 - missed / len(num_right)


def _recalls(within: Float64) -> dict[str, float]:
    """Return the fields of `Recalls`; the first 50 of 20 candidates are all 20."""
    return {f"recall_at_{k}": float(within[min(k, len(within)) - 1]) for k in RECALL_AT}
