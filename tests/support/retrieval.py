"""A small retrieval, worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np

from vfm.trainer.evaluation.retrieval.places import places_of_texts, places_of_videos
from vfm.trainer.evaluation.retrieval.result import Rankings, RetrievalResult, ranked
from vfm.trainer.recipes.requirements import Fit

SIMILARITY = np.array([[0.5, 0.25], [0.25, 0.75], [1.0, 0.5]], np.float32)


def small_rankings() -> Rankings:
    """Return what three texts and two videos found.

    Texts 0 and 1 belong to video a, text 2 to video b, and texts 1 and 2 are the same words. Text 0 finds a
    at place 1, text 1 at 2, and text 2 finds b at 2. Video a finds text 0 at place 2 and b text 2 at 2.
    """
    own = np.array([0, 0, 1])
    return Rankings(
        keys=("a", "b"),
        texts=("a dog", "a cat", "a cat"),
        video_of_text=own,
        text_to_video=places_of_texts(SIMILARITY, video_of_text=own),
        video_to_text=places_of_videos(SIMILARITY, video_of_text=own),
    )


def small_result(**changes: Any) -> RetrievalResult:
    """Return the result of `small_rankings`, with changes."""
    result = RetrievalResult(
        run="runs/small",
        step=7,
        num_clips=5,
        num_crops=1,
        data="data/small",
        split="val",
        ema=False,
        num_missing=1,
        num_trained_on=0,
        fit=Fit(stride=2, seconds_apart=0.25, repeated_frames=0.0, enlargement=1.0),
        dual_softmax=None,
        captions="each",
        num_without_caption=4,
        **ranked(small_rankings()),
    )
    return replace(result, **changes)
