"""The result of a multiple choice: what was chosen for each video, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vfm.shards.array_types import Float64, Int64
from vfm.shards.io.hashing import sha256
from vfm.shards.io.json import canonical_json
from vfm.trainer.evaluation.multiple_choice.questions import Question
from vfm.trainer.evaluation.result import Result, apart
from vfm.trainer.evaluation.statistics import wilson_interval

PROTOCOL: Literal["multiple-choice"] = "multiple-choice"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choices:
    """What was chosen for Q questions.

    Attributes:
        keys: of the videos.
        questions: Q of them.
        scores: of the sentences of each question, float64 [num_choices] in 0..1; the highest is chosen.
    """

    keys: tuple[str, ...]
    questions: tuple[Question, ...]
    scores: tuple[Float64, ...]

    @property
    def chosen(self) -> Int64:
        """Return the place of the sentence with the highest score of each question, int64 [Q]."""
        return np.array([int(scores.argmax()) for scores in self.scores], np.int64)

    @property
    def margins(self) -> Float64:
        """Return by how much the right sentence is above the best other, float64 [Q] in -1..1."""
        return np.array([_margin(*each) for each in zip(self.scores, self.questions, strict=True)])

    @property
    def worst(self) -> str | None:
        """Return the video whose right sentence is the furthest behind; None where all were chosen."""
        margins = self.margins
        last = int(margins.argmin())
        return self.keys[last] if margins[last] <= 0 else None


def _margin(scores: Float64, question: Question) -> float:
    return float(scores[question.answer] - np.delete(scores, question.answer).max())


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipleChoiceResult(Result):
    """How often the right sentence is chosen.

    Attributes:
        protocol: ``multiple-choice``.
        num_missing: questions left out because their video is not among the samples.
        questions_sha256: of the file of questions.
        is_matched: whether a matching head was asked beside the vectors.
        is_zero_shot: whether the weights are those of a pretraining, which has not learned to retrieve here.
        accuracy: share of questions whose right sentence has a higher score than all others, 0..1. One with
            an equal is not right: a model that tells nothing apart would be, wherever answers come first.
        accuracy_interval: ends of its 95 % interval, by Wilson's score.
        chance_rate: what choosing at random would reach.
        num_questions: questions counted.
        num_sentences: of all of them.
        num_cut: sentences that were longer than the model reads.
        num_unknown: sentences with a word that the vocabulary does not have.
        num_repeated: questions in which the right sentence stands more than once: no model can choose.
        choices: what was chosen.
    """

    protocol: Literal["multiple-choice"] = PROTOCOL
    questions_sha256: str
    is_matched: bool
    is_zero_shot: bool
    accuracy: float
    accuracy_interval: tuple[float, float]
    chance_rate: float
    num_questions: int
    num_sentences: int
    num_cut: int
    num_unknown: int
    num_repeated: int
    choices: Choices = apart()


def num_repeated(questions: Sequence[Question]) -> int:
    """Return in how many questions the right sentence stands more than once, word for word."""
    return sum(each.choices.count(each.choices[each.answer]) > 1 for each in questions)


def chosen(found: Choices) -> dict[str, Any]:
    """Return the fields of a `MultipleChoiceResult` that follow from what was chosen."""
    questions, num_questions = found.questions, len(found.questions)
    accuracy = float((found.margins > 0).mean())
    listed = sorted(
        (key, list(each.choices), each.answer) for key, each in zip(found.keys, questions, strict=True)
    )
    return {
        "sample_list_sha256": sha256(canonical_json(listed)),
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(accuracy, num_samples=num_questions),
        "chance_rate": sum(1 / len(each.choices) for each in questions) / num_questions,
        "num_questions": num_questions,
        "num_sentences": sum(len(each.choices) for each in questions),
        "num_repeated": num_repeated(questions),
        "choices": found,
    }
