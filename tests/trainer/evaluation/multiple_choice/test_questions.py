"""Questions are read as they are published; what is none is refused by one sentence."""

import json

import pytest

from vfm.shards.errors import UsageError
from vfm.trainer.evaluation.multiple_choice.questions import Question, read_questions

FIRST = {"video": "video9770.mp4", "caption": ["a man sings", "a dog runs"], "answer": 1, "id": 3}
SECOND = {"video": "b", "captions": ["x", "y", "z"], "answer": 0}
EXPECTED = (
    Question(video="video9770.mp4", choices=("a man sings", "a dog runs"), answer=1),
    Question(video="b", choices=("x", "y", "z"), answer=0),
)


def test_lines_and_lists_are_the_same(tmp_path):
    lines, whole = tmp_path / "mc.jsonl", tmp_path / "mc.json"
    lines.write_text(f"\ufeff{json.dumps(FIRST)}\n\n{json.dumps(SECOND)}\r\n", encoding="utf-8")
    whole.write_text(json.dumps([FIRST, SECOND], indent=2))
    assert read_questions(lines) == read_questions(whole) == EXPECTED


def test_sentences_may_hold_line_separators(tmp_path):
    path = tmp_path / "mc.jsonl"
    path.write_text(json.dumps({**SECOND, "captions": ["x\u2028y", "z"]}, ensure_ascii=False) + "\n")
    assert read_questions(path)[0].choices == ("x\u2028y", "z")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"mc.json holds no question: give one a line"),
        ("[]", r"mc.json holds no question"),
        (
            '{"video": ',
            r"mc.json, line 1 is not JSON \(Expecting value: .*\): give one question a line",
        ),
        ("[1]", r"question 1 is no JSON object: give it video, caption and answer"),
        (json.dumps({**SECOND, "video": ""}), r"line 1 has '' as video: name one"),
        (json.dumps({**SECOND, "video": 3}), r"has 3 as video"),
        (json.dumps({**SECOND, "caption": ["x", "y"]}), r"has caption and captions: give the sentences as"),
        (json.dumps({"video": "b", "answer": 0}), r"line 1 has no caption: give the sentences as caption"),
        (
            json.dumps({**SECOND, "captions": ["x"]}),
            r"two sentences or more, none of them empty, and has \[",
        ),
        (json.dumps({**SECOND, "captions": ["x", " "]}), r"none of them empty, and has \['x', ' '\]"),
        (json.dumps({**SECOND, "captions": "xy"}), r"none of them empty, and has 'xy'"),
        (json.dumps({**SECOND, "answer": 3}), r"has the answer 3: give the place of the right one, 0 to 2"),
        (json.dumps({**SECOND, "answer": True}), r"has the answer True: give"),
        (json.dumps({**SECOND, "answer": "x"}), r"has the answer 'x': give"),
        (json.dumps({"video": "b", "captions": ["x", "y"]}), r"has the answer None: give"),
    ],
)
def test_what_is_no_question_is_refused(tmp_path, text, told):
    path = tmp_path / "mc.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        read_questions(path)


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"none.json is no file: name the questions with --choices"):
        read_questions(tmp_path / "none.json")
    path = tmp_path / "mc.json"
    path.write_bytes(json.dumps({**SECOND, "video": "é"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(UsageError, match=r"mc.json is not UTF-8 text \(line 1, byte 0xe9\).*LATIN1"):
        read_questions(path)
