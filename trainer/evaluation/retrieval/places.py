"""What each query found: what belongs to it, at which place, and what came first."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vfm.shards.array_types import Float64, Int64
from vfm.trainer.evaluation.retrieval.ranks import (
    Similarity,
    num_texts_of_videos,
    own_similarity,
    spans,
    text_to_video_ranks,
    video_to_text_ranks,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """What Q queries of one direction found.

    Attributes:
        ranks: float64 [Q], the place at which each found what belongs to it, from 1.
        own: int64 [Q], the candidate that belongs to it; of several the most similar.
        own_similarity: float [Q], of the query and that one.
        best: int64 [Q], the most similar candidate; of several its own, else the first.
        best_similarity: float [Q], of the query and that one.
        num_right: int64 [Q], how many candidates belong to each query.
        num_candidates: of each query.
    """

    ranks: Float64
    own: Int64
    own_similarity: Similarity
    best: Int64
    best_similarity: Similarity
    num_right: Int64
    num_candidates: int


def places_of_texts(similarity: Similarity, *, video_of_text: Int64) -> Places:
    """Return what texts find among videos, see `text_to_video_ranks`."""
    return Places(
        ranks=text_to_video_ranks(similarity, video_of_text=video_of_text),
        num_right=np.ones_like(video_of_text),
        num_candidates=similarity.shape[1],
        **_found(similarity, own=video_of_text),
    )


def places_of_videos(similarity: Similarity, *, video_of_text: Int64) -> Places:
    """Return what videos find among texts, see `video_to_text_ranks`."""
    num_texts, num_videos = similarity.shape
    num_right = num_texts_of_videos(video_of_text, num_videos=num_videos)
    # Texts by their videos, the most similar of each first.
    fits = own_similarity(similarity, video_of_text=video_of_text)
    order = np.lexsort((-fits, video_of_text))
    return Places(
        ranks=video_to_text_ranks(similarity, video_of_text=video_of_text),
        num_right=num_right,
        num_candidates=num_texts,
        **_found(similarity.T, own=order[num_right.cumsum() - num_right]),
    )


def _found(similarity: Similarity, *, own: Int64) -> dict[str, Any]:
    """Return the fields of `Places` that tell which candidates are whose, from similarities [Q, C]."""
    queries = np.arange(len(similarity))
    # Span by span: along columns argmax copies what it looks at.
    first = np.concatenate([similarity[span].argmax(axis=1) for span in spans(similarity)])
    similarity_of_own, similarity_of_first = similarity[queries, own], similarity[queries, first]
    return {
        "own": own,
        "own_similarity": similarity_of_own,
        "best": np.where(similarity_of_own == similarity_of_first, own, first),
        "best_similarity": similarity_of_first,
    }
