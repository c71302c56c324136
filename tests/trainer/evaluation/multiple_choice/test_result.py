"""What follows from scores of sentences: one that is not above all others is not chosen rightly."""

from dataclasses import replace

import pytest

from support.choices import small_choice_result, small_choices
from vfm.trainer.evaluation.multiple_choice.result import chosen
from vfm.trainer.evaluation.statistics import wilson_interval


def test_figures_are_those_worked_out_by_hand():
    result = small_choice_result()
    assert result.accuracy == 0.25
    assert result.accuracy_interval == wilson_interval(0.25, num_samples=4)
    assert result.chance_rate == pytest.approx((3 / 2 + 1 / 3) / 4)
    assert (result.num_questions, result.num_sentences, result.num_repeated) == (4, 9, 1)


def test_the_highest_score_is_chosen_and_the_worst_is_the_furthest_behind():
    found = small_choices()
    assert found.chosen.tolist() == [0, 1, 0, 0]
    assert found.margins.tolist() == [0.5, -0.25, 0.0, -0.5]
    assert found.worst == "c"
    right = replace(found, keys=found.keys[:1], questions=found.questions[:1], scores=found.scores[:1])
    assert right.worst is None


def test_a_result_tells_its_list_of_questions_and_keeps_choices_apart():
    found, told = small_choices(), small_choice_result().to_dict()
    assert "choices" not in told
    assert (told["protocol"], told["num_missing"], told["is_matched"]) == ("multiple-choice", 2, True)
    swapped = replace(
        found, keys=found.keys[::-1], questions=found.questions[::-1], scores=found.scores[::-1]
    )
    assert chosen(swapped)["sample_list_sha256"] == told["sample_list_sha256"]
    others = (replace(found.questions[0], answer=1), *found.questions[1:])
    assert chosen(replace(found, questions=others))["sample_list_sha256"] != told["sample_list_sha256"]
