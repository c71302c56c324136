"""Files of classes as datasets publish them, and those that could be read in two ways."""

import json
from pathlib import Path

import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources.class_files import parse_class_file

PATH = Path("names.txt")


def read(text: str, name: str = "names.txt") -> list[tuple[str, str]]:
    return [(each.number, each.name) for each in parse_class_file(text, path=Path(name)).classes]


def told_of(text: str, name: str = "names.txt") -> str:
    with pytest.raises(UsageError) as caught:
        parse_class_file(text, path=Path(name))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("archery\n3D printing\n", [("0", "archery"), ("1", "3D printing")]),
        ("3D printing\n4D films\n", [("0", "3D printing"), ("1", "4D films")]),
        ("10\n7\n", [("0", "10"), ("1", "7")]),
        ("c000 one\ntwo\n", [("0", "c000 one"), ("1", "two")]),
        ("A1 road", [("0", "A1 road")]),
        ("jump, run\nsit", [("0", "jump, run"), ("1", "sit")]),
        ("one\u2028two\r\nthree\r\n\r\n", [("0", "one\u2028two"), ("1", "three")]),
    ],
)
def test_plain_names_are_counted_from_0(text: str, expected: list[tuple[str, str]]) -> None:
    assert read(text) == expected
    assert not parse_class_file(text, path=PATH).is_numbered


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 Apply Eye Makeup\n2 3D printing\n", [("1", "Apply Eye Makeup"), ("2", "3D printing")]),
        ("0 a\n1 b\n", [("0", "a"), ("1", "b")]),
        ("2 b\n1 a\n", [("2", "b"), ("1", "a")]),
        ("01\ta\n02\tb\n", [("01", "a"), ("02", "b")]),
        ("1. a\n2) b\n3: c\n", [("1", "a"), ("2", "b"), ("3", "c")]),
        ('0,"a, b"\n1,"say ""c"""\n', [("0", "a, b"), ("1", 'say "c"')]),
        ("clapping,0\nlevel 7,1\n", [("0", "clapping"), ("1", "level 7")]),
        ("c000 Holding some clothes\nc001 b\n", [("c000", "Holding some clothes"), ("c001", "b")]),
        ("A1. a\nA2. b\n", [("A1", "a"), ("A2", "b")]),
    ],
)
def test_lines_with_numbers(text: str, expected: list[tuple[str, str]]) -> None:
    assert read(text) == expected
    assert parse_class_file(text, path=PATH).is_numbered


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "archery\n8 ball\nsit\n",
            "names.txt line 2 ('8 ball') begins with a number and line 1 ('archery') with none: number each "
            "line, or, if 8 is part of a name, write the names as a JSON list.",
        ),
        (
            "1 a\n2 b\n4 c\n",
            "names.txt has a number on each line, and 3 is missing, as they are 1 to 4: number from 0 or "
            "from 1 without gaps, or, if the numbers are parts of names, write the names as a JSON list.",
        ),
        ("2 a\n3 b\n", "0 is missing, as they are 2 to 3"),
        ("0 a\n2 b\n", "1 is missing, as they are 0 to 2"),
        ("1 a\n2 b\n1 c\n", "1 is the number of 'a' and of 'c'"),
        ("a,0\nb,2\n", "1 is missing, as they are 0 to 2"),
        ("c000 a\nc002 b\n", "1 is missing, as they are 0 to 2"),
        ("1 a\n\n2 b\n", "names.txt line 2 is blank: write one class on each line."),
        ("a\n\nb\n", "names.txt line 2 is blank"),
        (" \n\t", "names.txt is empty"),
    ],
)
def test_lines_that_can_be_read_in_two_ways(text: str, told: str) -> None:
    assert told in told_of(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,name\n0,abseiling\n1,air drumming\n", [("0", "abseiling"), ("1", "air drumming")]),
        ("id,key,instances,category\n0,take,\"['take', 'pick-up']\",x\n", [("0", "take")]),
        ("name,id\nb,1\na,0\n\n", [("1", "b"), ("0", "a")]),
        ('"ID";"Name"\r\n1;"a; b"\r\n', [("1", "a; b")]),
        ("name\tid\na\t1\n", [("1", "a")]),
    ],
)
def test_tables(text: str, expected: list[tuple[str, str]]) -> None:
    assert read(text, "labels.csv") == read(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,name\n0,a,b\n", "l.csv line 2 has 3 cells and the header 2: correct it."),
        ("id,name\nzero,a\n", "l.csv line 2 has 'zero' as a class number: write 0, 1, 2 and so on."),
        ('id,name\n0,"a\n', "l.csv line 2 is not CSV (unexpected end of data): correct it."),
        ("id,name\n", "l.csv has a header and no classes: write one class per line."),
        (
            "label,colour\na,red\n",
            "l.csv does not begin with a header such as id,name: add one, or write the",
        ),
    ],
)
def test_tables_that_are_none(text: str, told: str) -> None:
    assert told in told_of(text, "l.csv")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Approaching": "0", "Attaching": "1"}, [("0", "Approaching"), ("1", "Attaching")]),
        ({"b": 1, "a": 0}, [("1", "b"), ("0", "a")]),
        ({"0": "a", "1": "3D printing"}, [("0", "a"), ("1", "3D printing")]),
        ({"1": "1", "0": "0"}, [("1", "1"), ("0", "0")]),
        (["8 ball", "archery"], [("0", "8 ball"), ("1", "archery")]),
        ([["Back", "15som", "FREE"], ["Forward"]], [("0", "Back 15som FREE"), ("1", "Forward")]),
    ],
)
def test_json(value: object, expected: list[tuple[str, str]]) -> None:
    assert read(json.dumps(value), "l.json") == read(json.dumps(value, indent=0)) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 0, "b"', "l.json is not JSON (Expecting ':' delimiter"),
        ("[" * 100_000, "l.json is not JSON (maximum recursion depth exceeded"),
        ("a\nb", "l.json is not JSON (Expecting value"),
        ("[]", "l.json is empty: name a file with one class per line, lines such as `1 Archery`, CSV with"),
        ("{}", "l.json is empty"),
        ('{"0": "1", "1": "0"}', "an object of numbers to numbers, of which either may be the names"),
        ('{"a": 0, "b": "x"}', "l.json is an object in which 'b' has no number and is none"),
        ('{"a": true}', "'a' has no number"),
        ('{"a": -1}', "'a' has no number"),
        ('{"0": ["a"]}', "'0' has no number"),
        ('["a", ["b"]]', "l.json is neither a list of names nor an object of names and numbers"),
        ('[{"id": 0, "name": "a"}]', "neither a list of names nor an object"),
        ("7", "neither a list of names nor an object"),
    ],
)
def test_json_that_holds_no_classes(text: str, told: str) -> None:
    assert told in told_of(text, "l.json")
