"""A small multiple choice, worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np

from support.results import small_fields
from vfm.trainer.evaluation.multiple_choice.questions import Question
from vfm.trainer.evaluation.multiple_choice.result import Choices, MultipleChoiceResult, chosen


def small_choices() -> Choices:
    """Return four questions: the first is right by 0.5, the others wrong by 0.25, by nothing and by 0.5.

    The third offers the right sentence twice, and the last three sentences.
    """
    return Choices(
        keys=("a", "b", "b", "c"),
        questions=(
            Question(video="a.mp4", choices=("a dog", "a cat"), answer=0),
            Question(video="b.mp4", choices=("a dog", "a cat"), answer=0),
            Question(video="b.mp4", choices=("a cat", "a cat"), answer=1),
            Question(video="c.mp4", choices=("a dog", "a cat", "a cow"), answer=2),
        ),
        scores=tuple(
            np.array(scores) for scores in ([0.75, 0.25], [0.25, 0.5], [0.5, 0.5], [0.75, 0.0, 0.25])
        ),
    )


def small_choice_result(**changes: Any) -> MultipleChoiceResult:
    """Return the result of `small_choices`, with changes."""
    result = MultipleChoiceResult(
        **small_fields(num_missing=2),
        questions_sha256="ab" * 32,
        is_matched=True,
        is_zero_shot=False,
        num_cut=0,
        num_unknown=0,
        **chosen(small_choices()),
    )
    return replace(result, **changes)
