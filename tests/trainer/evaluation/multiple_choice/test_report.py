"""The files of a multiple choice hold what was found."""

import json

import pyarrow.parquet as pq

from support.choices import small_choice_result, small_choices
from vfm.trainer.evaluation.multiple_choice.report import choices_table, margins_picture, write_report


def test_three_files_lie_where_those_of_other_protocols_do(tmp_path):
    result = small_choice_result()
    write_report(tmp_path, result)
    base = tmp_path / "evaluate-multiple-choice-val"
    assert json.loads(base.with_suffix(".json").read_text()) == json.loads(json.dumps(result.to_dict()))
    assert pq.read_table(base.with_suffix(".parquet")).to_pylist()[3] == {
        "key": "c",
        "video": "c.mp4",
        "choices": ["a dog", "a cat", "a cow"],
        "answer": 2,
        "chosen": 0,
        "scores": [0.75, 0.0, 0.25],
    }
    assert base.with_suffix(".png").read_bytes() == margins_picture(result.choices)


def test_rows_are_in_the_order_of_the_questions():
    table = choices_table(small_choices())
    assert table["video"].to_pylist() == ["a.mp4", "b.mp4", "b.mp4", "c.mp4"]
    assert table["chosen"].to_pylist() == [0, 1, 0, 0]
