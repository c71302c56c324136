import math
import re
from pathlib import Path

import pytest

from vfm.shards.errors import UsageError
from vfm.trainer.recipes.yaml.reader import read_yaml


@pytest.fixture
def read(tmp_path):
    def read(text: str | bytes):
        path = tmp_path / "mine.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path)

    return read


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1", 1),
        ("-2", -2),
        ("010", 10),
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("-1.5e-08", -1.5e-8),
        (".5", 0.5),
        ("2.", 2.0),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("none", None),
        ("None", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("2026-01-01", "2026-01-01"),
        ("1:30", "1:30"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("inf", "inf"),
        ("9" * 400, math.inf),
        ('"1"', "1"),
        ("'null'", "null"),
        ("vq.* # of any codebook", "vq.*"),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        ("[]", []),
        ("{b: 1}", {"b": 1}),
    ],
)
def test_words_mean_what_they_look_like(read, word, value):
    found = read(f"a: {word}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read_and_left_to_the_types(read):
    assert math.isnan(read("a: .nan")["a"])


def test_sections_lists_and_a_byte_order_mark(read):
    text = "\ufeff# a comment\na:\n  b:\n  - 1\n  - c: 2\nd: |\n  1\n"
    assert read(text) == {"a": {"b": [1, {"c": 2}]}, "d": "1\n"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "mine.yaml is empty: `vfm recipes show NAME --yaml` prints a recipe to begin with."),
        ("# only this\n", "mine.yaml is empty"),
        ("---\n", "line 2: one value stands where the keys of a recipe are wanted"),
        ("- a\n- b\n", "line 1: a list stands where the keys of a recipe are wanted: write `name: ...`."),
        ("hello", "line 1: one value stands where"),
        ("a: 1\nb: [1, 2\nc: 3\n", "line 3, is not YAML: .*; correct it there."),
        ("a: 1\n b: 2\n", "line 2, is not YAML: mapping values are not allowed here; correct it there."),
        ("a: 1\n\tb: 2\n", "line 2, is not YAML: found character"),
        ("a: \x01\n", "line 1, is not YAML: it holds a character that no text has"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "is not text in UTF-8: name the YAML of a recipe."),
        (b"\x80\x04\x95" + bytes(100), "is not text in UTF-8"),
        ("x" * (2**16 + 1), "has more than 65536 bytes, which no recipe has: name another file."),
        (
            "a: 1\nb: !!python/object/apply:os.system ['touch RAN']\n",
            "line 2: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed: write a plain",
        ),
        ("a: !!int 1", "line 1: the tag tag:yaml.org,2002:int is not allowed"),
        ("!!map {a: 1}", "line 1: the tag tag:yaml.org,2002:map is not allowed"),
        ("a: &x 1\nb: *x\n", "line 1: the anchor or alias x is not allowed: write the value out."),
        ("a: *x\n", "line 1: the anchor or alias x is not allowed"),
        ("&x a: 1\n", "line 1: a key is not plain text"),
        ("? [a]\n: 1\n", "line 1: a key is not plain text: write `key: value`."),
        ("a: 1\nb: 2\na: 1\n", "line 3: the key a stands here a second time: remove one of the two."),
        ("s:\n  a: 1\n  a: 2\n", "line 3: the key a stands here a second time"),
        ("a: " + "[" * 5000 + "]" * 5000, "line 1: lists or sections are nested deeper than in any recipe"),
        ("a: 1\n---\nb: 1\n", "line 2: a second document begins"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(read, text, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refused:
        read(text)
    assert re.search(told, str(refused.value)), refused.value
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "RAN").exists()


def test_a_billion_laughs_are_not_heard(read):
    laughs = ["a: &a0 [ha]"] + [f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(UsageError, match="line 1: the anchor or alias a0 is not allowed"):
        read("\n".join(laughs))


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(UsageError, match=r"no file .*none.yaml: `vfm recipes show NAME --yaml` prints one"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="There is no file"):
        read_yaml(tmp_path)
