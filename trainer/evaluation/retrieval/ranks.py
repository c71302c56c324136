"""The place at which each query finds what belongs to it: text to video, and video to text."""

from collections.abc import Iterator

import numpy as np

from vfm.shards.array_types import Float32, Float64, Int64
from vfm.shards.errors import UsageError

Similarity = Float32 | Float64  # [num_texts, num_videos], the larger, the better they fit
_CHUNK = 2**24  # similarities compared in one step: 16 MiB of what the comparison says


def text_to_video_ranks(similarity: Similarity, *, video_of_text: Int64) -> Float64:
    """Return at which place each text finds its video: 1 where no other video is more similar.

    Ties are optimistic: videos that are exactly as similar as the right one come after it.

    Args:
        similarity: float [num_texts, num_videos].
        video_of_text: int64 [num_texts], the video that each text belongs to.

    Returns:
        float64 [num_texts], whole numbers in 1..num_videos.

    Raises:
        UsageError: a similarity is not a number.
    """
    own = own_similarity(similarity, video_of_text=video_of_text)
    ranks = np.empty(len(similarity), np.float64)
    for span in spans(similarity):
        ranks[span] = 1 + np.count_nonzero(similarity[span] > own[span, None], axis=1)
    return ranks


def video_to_text_ranks(similarity: Similarity, *, video_of_text: Int64) -> Float64:
    """Return at which place each video finds the first of its texts.

    Ties are averaged: texts that are exactly as similar share the mean of their places, which may lie half
    way between two. Of a video with several texts the one at the best place counts.

    Args:
        similarity: float [num_texts, num_videos].
        video_of_text: int64 [num_texts], the video that each text belongs to.

    Returns:
        float64 [num_videos], in 1..num_texts.

    Raises:
        UsageError: a similarity is not a number, or a video has no text.
    """
    num_videos = similarity.shape[1]
    num_texts_of_videos(video_of_text, num_videos=num_videos)
    # No text has a better place than one that is more similar, so the most similar of its texts counts.
    best = np.full(num_videos, -np.inf, similarity.dtype)
    np.maximum.at(best, video_of_text, own_similarity(similarity, video_of_text=video_of_text))
    num_better, num_equal = np.zeros((2, num_videos), np.int64)
    for span in spans(similarity):
        num_better += np.count_nonzero(similarity[span] > best, axis=0)
        num_equal += np.count_nonzero(similarity[span] == best, axis=0)
    ranks: Float64 = num_better + (num_equal + 1) / 2
    return ranks


def own_similarity(similarity: Similarity, *, video_of_text: Int64) -> Similarity:
    """Return how similar each text and its video are, [num_texts].

    Raises:
        UsageError: a similarity, of these or of others, is not a number.
    """
    num_nan = sum(int(np.isnan(similarity[span]).sum()) for span in spans(similarity))
    if num_nan:
        raise UsageError(
            f"{num_nan} of {similarity.size} similarities of texts and videos are not numbers, since the "
            "vectors that these weights make are none: evaluate an earlier checkpoint."
        )
    return similarity[np.arange(len(similarity)), video_of_text]


def num_texts_of_videos(video_of_text: Int64, *, num_videos: int) -> Int64:
    """Return how many texts each video has: int64 [num_videos], 1 or more.

    Raises:
        UsageError: a video has none.
    """
    counts: Int64 = np.bincount(video_of_text, minlength=num_videos)
    num_without = int((counts == 0).sum())
    if num_without:
        raise UsageError(
            f"{num_without} of {num_videos} videos have no text, so that there is nothing for them to find: "
            "leave out samples without a caption."
        )
    return counts


def spans(similarity: Similarity) -> Iterator[slice]:
    """Yield spans of rows that are small enough for one step."""
    num_rows, num_columns = similarity.shape
    step = max(_CHUNK // num_columns, 1)
    return (slice(start, start + step) for start in range(0, num_rows, step))
