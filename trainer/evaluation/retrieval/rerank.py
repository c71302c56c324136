"""Ranks the first candidates by vectors anew, by a model that looks at a video and a caption together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vfm.shards.errors import UsageError
from vfm.shards.wording import counted
from vfm.trainer.evaluation.retrieval.matching import check_finite, check_matching
from vfm.trainer.tasks.retrieve.retrieval import Retrieve
from vfm.trainer.video_text.model import MatchingModel

_PUBLISHED = 128  # candidates of each query that UMT ranks anew


@dataclass(frozen=True, slots=True, kw_only=True)
class RankOptions:
    """What candidates are ranked by, beside similarities.

    Attributes:
        dual_softmax: whether similarities are re-weighted, at the temperature of the training.
        rerank: how many candidates of each query a matching head ranks anew; 0 ranks by vectors alone, and
            None is 128 where there is such a head.
    """

    dual_softmax: bool = False
    rerank: int | None = None

    def __post_init__(self) -> None:
        if self.rerank is not None and self.rerank < 0:
            raise UsageError(f"--rerank is {self.rerank}: give how many candidates to rank anew, or 0.")
        if self.dual_softmax and self.rerank:
            raise UsageError(
                "--dual-softmax weighs similarities and --rerank puts other scores in their place: give one."
            )

    def num_reranked(self, task: Retrieve, *, path: Path) -> int | None:
        """Return how many candidates of each query a model ranks anew; None where it ranks by vectors.

        Raises:
            UsageError: it is asked to, and has nothing to rank by.
        """
        if self.rerank:
            check_matching(task, path=path)
        if self.dual_softmax or not isinstance(task.backbone, MatchingModel):
            return None
        return (_PUBLISHED if self.rerank is None else self.rerank) or None


def told_of_rank(task: Retrieve, *, k: int | None, num_texts: int, num_videos: int) -> list[str]:
    """Return what to say of how many candidates of each query a matching head ranks anew."""
    if not isinstance(task.backbone, MatchingModel):
        return []
    if k is None:
        return ["Ranked by vectors alone: the matching head is not asked."]
    counts = ((num_texts, "caption"), (num_videos, "video"))
    fewer = [counted(number, what) for number, what in counts if number < k]
    all_are = f" There are {' and '.join(fewer)}: where there are fewer, all are." if fewer else ""
    return [f"The first {k} of each query are ranked anew by the matching head.{all_are}"]


def rerank(similarity_TV: Tensor, *, k: int, score: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return scores to rank videos for each text, and texts for each video, float64 [T, V] both.

    For each text the k most similar videos are scored, and for each video the k most similar texts; a pair
    that both want is scored once. Of equally similar ones the first are taken. Those that a query did not
    score come behind all that it did, in the order of their similarity. UMT's released code gives them all
    -100: where what is right is among the first k its place is the same, and where it is not, it has there
    the same place as all that were left out, or whichever a sort gives it.

    Args:
        similarity_TV: float32 in -1..1, of T texts and V videos.
        k: how many are scored, 1 or more; all, where there are fewer.
        score: returns the scores, float32 [T, V], of the pairs that are wanted, bool [T, V].

    Raises:
        UsageError: a score is not finite.
    """
    by_text, by_video = _most_similar(similarity_TV, k=k), _most_similar(similarity_TV.T, k=k).T
    wanted = by_text | by_video
    scores = score(wanted)
    check_finite(scores[wanted])
    # In float64, so that no two similarities become the same number.
    behind = similarity_TV.double() + (float(scores[wanted].min()) - 2)
    return torch.where(by_text, scores, behind), torch.where(by_video, scores, behind)


def _most_similar(similarity_QC: Tensor, *, k: int) -> Tensor:
    """Return which k candidates are the most similar to each query, bool [Q, C]."""
    is_among = torch.zeros(similarity_QC.shape, dtype=torch.bool)
    for row, found in zip(similarity_QC, is_among, strict=True):
        found[torch.argsort(row, descending=True, stable=True)[:k]] = True
    return is_among
