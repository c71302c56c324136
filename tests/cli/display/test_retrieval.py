import re
from dataclasses import replace

import numpy as np
import pytest

from support.choices import small_choice_result
from support.retrieval import small_rankings, small_result
from vfm.cli.display.retrieval import choice_table, retrieval_table
from vfm.trainer.evaluation.retrieval.places import places_of_texts
from vfm.trainer.evaluation.retrieval.result import ranked


@pytest.fixture
def lines() -> list[str]:
    """The table of two runs, of which the other's texts are all first."""
    found = small_rankings()
    right = places_of_texts(np.array([[1, 0], [1, 0], [0, 1]], np.float32), video_of_text=found.video_of_text)
    other = small_result(run="runs/other", **ranked(replace(found, text_to_video=right)))
    return retrieval_table([small_result(), other]).splitlines()


def test_two_rows_for_each_run_beside_chance(lines: list[str]) -> None:
    """Wilson's intervals are of 1/3 of 3, 0 of 2, and 3 of 3."""
    cells = [re.split(r"  +", line) for line in lines]
    recalls = ["run", "direction", "R@1 %", "95 % interval", "R@5 %", "R@10 %", "R@50 %"]
    assert cells[0] == [*recalls, "MdR", "MnR", "queries", "candidates"]
    all_found = ["100.0", "100.0", "100.0"]
    by_video = ["video to text", "0.0", "0.0 to 65.8", *all_found, "2", "2.0", "2", "3"]
    assert cells[1:] == [
        ["runs/small", "text to video", "33.3", "6.1 to 79.2", *all_found, "2", "1.7", "3", "2"],
        ["runs/small", *by_video],
        ["runs/other", "text to video", "100.0", "43.9 to 100.0", *all_found, "1", "1.0", "3", "2"],
        ["runs/other", *by_video],
        ["chance", "text to video", "50.0", *all_found, "3", "2"],
        ["chance", "video to text", "50.0", *all_found, "2", "3"],
    ]


def test_what_chance_has_none_of_stays_empty(lines: list[str]) -> None:
    header, *rows = lines
    places = {name: header.index(name) for name in ("95 % interval", "R@5 %", "MdR", "queries")}
    for row in rows[-2:]:
        assert not row[places["95 % interval"] : places["R@5 %"]].strip()
        assert not row[places["MdR"] : places["queries"]].strip()


def test_a_run_is_told_apart_where_it_was_ranked_anew_or_not_finetuned() -> None:
    results = [small_result(rerank=16), small_result(rerank=128, is_zero_shot=True)]
    names = [line.partition("  ")[0] for line in retrieval_table(results).splitlines()]
    assert names[1:5:2] == [
        "runs/small (first 16 ranked anew)",
        "runs/small (not finetuned, first 128 ranked anew)",
    ]


def test_choices_stand_beside_chance():
    results = [small_choice_result(), small_choice_result(run="b", is_matched=False, is_zero_shot=True)]
    assert [re.split(r"  +", line.strip()) for line in choice_table(results).splitlines()] == [
        ["run", "right %", "95 % interval", "questions", "left out"],
        ["runs/small", "25.0", "4.6 to 69.9", "4", "2"],
        ["b (not finetuned, by vectors alone)", "25.0", "4.6 to 69.9", "4", "2"],
        ["chance", "45.8", "4", "2"],
    ]
